/** A hub of this machine, and caches that are filled from it. */
import { readdirSync } from 'node:fs'
import path from 'node:path'
import type { Test } from 'tap'
import { Hub } from '../../adapters-store/hub/hub.ts'
import { AdapterError, type HubKind, type HubName, type HubProgress, parseHubName } from '../../adapters-store/index.ts'
import { type Files, filesOf, type LocalHub, localHub } from './local-hub.ts'
import { demoModel, temporaryFolder } from './repo.ts'

export const ADAPTER = filesOf(demoModel('adapters/pirate'))
export const OTHER = filesOf(demoModel('adapters/robot'))
export const BASE = filesOf(demoModel('base'))
export const WEIGHTS = 'adapter_model.safetensors'
/** Bytes of some of the files. */
export const size = (files: Files, ...names: string[]) =>
  names.reduce((sum, name) => sum + Buffer.byteLength(files[name] as Buffer), 0)

export interface Started {
  local: LocalHub
  cache: string
  /** A hub over the same cache. */
  hub(options?: { offline?: boolean; token?: string; endpoint?: string; maxAdapterBytes?: number; stall?: number }): Fetching
  told: HubProgress[]
  warnings: string[]
}

export interface Fetching {
  fetch(name: string, kind?: HubKind, signal?: AbortSignal): ReturnType<Hub['fetch']>
  /** The code and both texts of what it rejects with. */
  refused(name: string, kind?: HubKind): Promise<{ code: string; message: string; detail: string }>
}

/** An empty cache and an empty hub. */
export async function start(t: Test): Promise<Started> {
  const local = await localHub(t)
  const cache = path.join(temporaryFolder(t), 'hub')
  const told: HubProgress[] = []
  const warnings: string[] = []
  const hub: Started['hub'] = ({ offline = false, token, endpoint = local.endpoint, stall = 2000, maxAdapterBytes } = {}) => {
    const one = new Hub(
      { endpoint, token, offline, cache },
      { stall, onProgress: (progress) => told.push({ ...progress }), onWarning: (text) => warnings.push(text) },
    )
    const fetching: Fetching = {
      fetch: (name, kind = 'adapter', signal = new AbortController().signal) =>
        one.fetch(parseHubName(name) as HubName, kind, signal, maxAdapterBytes),
      async refused(name, kind) {
        const error = await fetching.fetch(name, kind).then(
          () => undefined,
          (error) => error,
        )
        if (!(error instanceof AdapterError)) throw error ?? new Error(`${name} was fetched`)
        const { code, message, detail } = error
        return { code, message, detail }
      },
    }
    return fetching
  }
  return { local, cache, hub, told, warnings }
}

/** What is in a repository's blobs. */
export const blobs = (cache: string, repo = 'models--org--pirate') => readdirSync(path.join(cache, repo, 'blobs')).sort()
/** Files that are not whole. */
export const incomplete = (cache: string) => blobs(cache).filter((name) => name.endsWith('.incomplete'))
