/** Models and adapters of the hub, in the cache. Who wants the same at the same time shares one download, which ends when nobody waits for it. */
import { readFileSync } from 'node:fs'
import { mkdir, statfs } from 'node:fs/promises'
import { AdapterError } from '../errors.ts'
import { fetchBlob, removeLeft } from './blob.ts'
import { RepoCache } from './cache.ts'
import { cachedFolder, type HubFolder } from './cached.ts'
import { HubClient, type HubFile, STALL } from './client.ts'
import { type HubName, hubText } from './name.ts'
import type { HubSettings } from './settings.ts'
import { Turns } from './turns.ts'
import { embeds, type HubKind, MODULE_FOLDERS, textsOf, weightsOf } from './wanted.ts'

/** How far a download is. */
export interface HubProgress {
  /** As it was asked for. */
  name: string
  bytes: number
  /** Those that were not here. */
  totalBytes: number
  ended: boolean
}

export interface HubOptions {
  /** Told at the begin of each download, while bytes come, and at its end. */
  onProgress?(progress: HubProgress): void
  /** Told what an operator should know. */
  onWarning?(message: string): void
  /** Milliseconds in which something must come. */
  stall?: number
}

/** Downloads at once, and files of each. */
const DOWNLOADS = 4
const FILES = 4
/** Milliseconds between two reports of a download. */
const TELL_MS = 100

export type { HubFolder }

interface Shared {
  folder: Promise<HubFolder>
  stop: AbortController
  waiting: number
}

export class Hub {
  readonly #settings: HubSettings
  readonly #options: HubOptions
  readonly #client: HubClient
  readonly #shared = new Map<string, Shared>()
  readonly #turns = new Turns(DOWNLOADS)

  constructor(settings: HubSettings, options: HubOptions = {}) {
    this.#settings = settings
    this.#options = options
    this.#client = new HubClient(settings, options.stall)
  }

  /**
   * What a name stands for now, brought into the cache as far as it is not there. Where the hub cannot be reached, or is not to be, what it stood for when it was fetched last. Rejects with
   * AdapterError (`hub_…`, `adapter_not_found`, `adapter_pickle`; `adapter_too_large` where the files take more than `maxBytes`) and with the signal's reason.
   */
  async fetch(name: HubName, kind: HubKind, signal: AbortSignal, maxBytes?: number): Promise<HubFolder> {
    signal.throwIfAborted()
    const key = `${kind} ${hubText(name)}`
    const shared = this.#shared.get(key) ?? this.#begin(key, name, kind, maxBytes)
    shared.waiting++
    let leave = () => {}
    const left = new Promise<never>((_, reject) => {
      leave = () => reject(signal.reason)
      signal.addEventListener('abort', leave, { once: true })
    })
    try {
      return await Promise.race([shared.folder, left])
    } finally {
      signal.removeEventListener('abort', leave)
      if (--shared.waiting === 0) {
        // Who comes from now on begins anew.
        if (this.#shared.get(key) === shared) this.#shared.delete(key)
        shared.stop.abort(new AdapterError('adapter_store_closed', 'nobody waits for the download any more'))
      }
    }
  }

  #begin(key: string, name: HubName, kind: HubKind, maxBytes?: number): Shared {
    const stop = new AbortController()
    const folder = this.#turns.run(() =>
      this.#fetch(name, kind, stop.signal, maxBytes).catch((error) => Promise.reject(known(error))),
    )
    folder.catch(() => undefined)
    const shared = { folder, stop, waiting: 0 }
    this.#shared.set(key, shared)
    return shared
  }

  async #fetch(name: HubName, kind: HubKind, signal: AbortSignal, maxBytes?: number): Promise<HubFolder> {
    signal.throwIfAborted()
    if (this.#settings.offline) {
      const there = await cachedFolder(this.#settings.cache, name, kind)
      if (there) return there
      throw new AdapterError(
        'hub_offline',
        `${hubText(name)} is not in the cache, or not whole, and HF_HUB_OFFLINE says that nothing is fetched`,
        {
          detail: `${hubText(name)} is not in ${this.#settings.cache}, or not whole, and HF_HUB_OFFLINE says that nothing is fetched`,
        },
      )
    }
    try {
      const commit = await this.#client.commit(name, signal)
      const files = await this.#client.list(name, commit, signal)
      if (kind === 'model' && embeds(files)) files.push(...(await this.#listModules(name, commit, signal)))
      return await this.#bring(name, kind, commit, files, signal, maxBytes)
    } catch (error) {
      if (!(error instanceof AdapterError) || error.code !== 'hub_unreachable') throw error
      const there = await cachedFolder(this.#settings.cache, name, kind)
      if (!there) throw error
      this.#options.onWarning?.(`${hubText(name)} is served from the cache, at ${there.commit}: ${error.detail}`)
      return there
    }
  }

  /** What lies in the folders of sentence-transformers' modules; none where it has no such folder. */
  async #listModules(name: HubName, commit: string, signal: AbortSignal): Promise<HubFile[]> {
    const folders = MODULE_FOLDERS.map(async (folder) => {
      try {
        return await this.#client.list({ ...name, folder }, commit, signal)
      } catch (error) {
        if (error instanceof AdapterError && error.code === 'hub_not_found') return []
        throw error
      }
    })
    return (await Promise.all(folders)).flat()
  }

  async #bring(
    name: HubName,
    kind: HubKind,
    commit: string,
    listed: HubFile[],
    signal: AbortSignal,
    maxBytes = Number.POSITIVE_INFINITY,
  ): Promise<HubFolder> {
    const what = hubText(name)
    const cache = new RepoCache(this.#settings.cache, name.repo)
    const inside = name.folder && `${name.folder}/`
    // Names are compared with those that we know, so that none leads anywhere.
    const files = new Map(listed.map((file) => [file.path.startsWith(inside) ? file.path.slice(inside.length) : '', file]))
    const texts = textsOf(kind, files, what)
    // A model's index says which files are its weights.
    if (kind === 'model') await this.#download(name, commit, cache, texts, false, signal)
    const weights = weightsOf(kind, files, what, ({ hash }) => readFileSync(cache.blob(hash)))
    const all = [...texts, ...weights]
    if (sum(all) > maxBytes)
      throw new AdapterError('adapter_too_large', `its files take ${sum(all)} bytes, and at most ${maxBytes} are fetched`)
    await this.#download(name, commit, cache, all, true, signal)
    for (const { path, hash, bytes } of all) await cache.link(commit, path, hash, bytes)
    await cache.setCommit(name.revision, commit)
    await removeLeft(cache, this.#options.stall ?? STALL)
    return { directory: cache.snapshot(commit, name.folder), root: cache.root, commit }
  }

  /** The blobs of those that are not here. `told`: with its progress. */
  async #download(
    name: HubName,
    commit: string,
    cache: RepoCache,
    files: HubFile[],
    told: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const here = await Promise.all(files.map(({ hash, bytes }) => cache.has(hash, bytes)))
    const missing = files.filter((_, i) => !here[i])
    if (missing.length === 0) return
    const totalBytes = sum(missing)
    await this.#requireSpace(hubText(name), cache.root, totalBytes)
    let bytes = 0
    const tell = (ended: boolean) => {
      if (told) this.#options.onProgress?.({ name: hubText(name), bytes, totalBytes, ended })
    }
    let next = 0
    const onBytes = (more: number) => {
      bytes += more
      if (performance.now() < next) return
      next = performance.now() + TELL_MS
      tell(false)
    }
    tell(false)
    const turns = new Turns(FILES)
    const failed = new AbortController()
    const either = AbortSignal.any([signal, failed.signal])
    const one = (file: HubFile) =>
      turns.run(async () => {
        either.throwIfAborted()
        const source = (from: number, signal: AbortSignal) => this.#client.open(name, commit, file.path, from, signal)
        await fetchBlob(file, cache, source, { signal: either, onBytes, stall: this.#options.stall ?? STALL })
      })
    const stopAll = (error: unknown) => {
      failed.abort(error)
      throw error
    }
    // All have ended before the first failure is told: nobody writes any more.
    const ends = await Promise.allSettled(missing.map((file) => one(file).catch(stopAll)))
    tell(true)
    signal.throwIfAborted()
    if (ends.some(({ status }) => status === 'rejected')) throw failed.signal.reason
  }

  /** Rather than filling the disk first. */
  async #requireSpace(what: string, folder: string, needed: number): Promise<void> {
    await mkdir(folder, { recursive: true })
    const { bavail, bsize } = await statfs(folder)
    if (bavail * bsize >= needed) return
    throw new AdapterError('hub_cache_failed', `${what} takes ${needed} bytes on the disk, and ${bavail * bsize} are free`, {
      detail: `${what} takes ${needed} bytes on the disk of ${folder}, and ${bavail * bsize} are free (HF_HUB_CACHE)`,
    })
  }
}

const sum = (files: HubFile[]) => files.reduce((bytes, file) => bytes + file.bytes, 0)

/** What the system says of the cache's files has paths, and is the operator's alone. */
function known(error: unknown): unknown {
  const { syscall, code, message } = error as NodeJS.ErrnoException
  if (error instanceof AdapterError || syscall === undefined) return error
  const reason = code === 'ENOSPC' ? 'the disk is full' : 'the cache cannot be written'
  return new AdapterError('hub_cache_failed', `it cannot be kept: ${reason}`, {
    detail: `it cannot be kept in the cache (HF_HUB_CACHE): ${message}`,
  })
}
