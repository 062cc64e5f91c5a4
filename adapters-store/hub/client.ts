/**
 * What is asked of the hub, through @huggingface/hub where that has it. The token is ours to add: the package sends it to whatever address a listing names as its next page, and takes
 * none that does not begin with `hf_`, as those of mirrors do not. Its downloads are not used, because they check neither sizes nor hashes, wait for ever for a connection that stalls, and
 * give two processes the same unfinished file; it names the files of the cache as the hub says, `../` included; and its snapshots are known before they are whole. Files that the hub keeps in
 * its newer store (xet) come over plain HTTP as well.
 */
import { listFiles, modelInfo } from '@huggingface/hub'
import { AdapterError } from '../errors.ts'
import { type HubName, isCommit } from './name.ts'
import type { HubSettings } from './settings.ts'

/** A file as the hub lists it. */
export interface HubFile {
  /** In the repository. */
  path: string
  bytes: number
  /** Of the content if the file is kept in LFS, else of the git blob. Names its file in the cache. */
  hash: string
}

/** Milliseconds in which something must come. */
export const STALL = 30_000
/** Files of one folder; more are no model's. */
const MOST_LISTED = 10_000
const HASH = /^([0-9a-f]{40}|[0-9a-f]{64})$/

export class HubClient {
  readonly #settings: HubSettings
  readonly #origin: string | undefined
  readonly #stall: number

  constructor(settings: HubSettings, stall = STALL) {
    this.#settings = settings
    this.#stall = stall
    this.#origin = URL.canParse(settings.endpoint) ? new URL(settings.endpoint).origin : undefined
  }

  /** The commit that a revision stands for now. */
  async commit(name: HubName, signal: AbortSignal): Promise<string> {
    const { sha } = await this.#ask(name, signal, (fetch) =>
      modelInfo({ name: name.repo, revision: name.revision, additionalFields: ['sha'], hubUrl: this.#settings.endpoint, fetch }),
    )
    if (typeof sha !== 'string' || !isCommit(sha)) throw notAHub(name)
    return sha
  }

  /** The files of its folder, not those of folders in it. */
  async list(name: HubName, commit: string, signal: AbortSignal): Promise<HubFile[]> {
    const path = name.folder.split('/').map(encodeURIComponent).join('/')
    return this.#ask(name, signal, async (fetch) => {
      const files: HubFile[] = []
      const listed = listFiles({ repo: name.repo, revision: commit, path, hubUrl: this.#settings.endpoint, fetch })
      let seen = 0
      for await (const { type, path, size, oid, lfs } of listed) {
        if (++seen > MOST_LISTED)
          throw new AdapterError('hub_file_invalid', `the repository has more than ${MOST_LISTED} files in one folder`)
        const bytes = lfs?.size ?? size
        const hash = lfs?.oid ?? oid
        if (type !== 'file') continue
        if (typeof path !== 'string' || !Number.isSafeInteger(bytes) || bytes < 0 || !hash || !HASH.test(hash))
          throw notAHub(name)
        files.push({ path, bytes, hash })
      }
      return files
    })
  }

  /** The content of a file from a byte on, if the hub can begin there; its first byte otherwise (status 200). */
  async open(name: HubName, commit: string, path: string, from: number, signal: AbortSignal): Promise<Response> {
    const file = path.split('/').map(encodeURIComponent).join('/')
    const headers = { 'accept-encoding': 'identity', ...(from > 0 && { range: `bytes=${from}-` }) }
    return this.#ask(name, signal, (fetch) =>
      fetch(`${this.#settings.endpoint}/${name.repo}/resolve/${commit}/${file}`, { headers }),
    )
  }

  /** Whatever goes wrong becomes an AdapterError, but for the signal's own reason. */
  async #ask<T>(name: HubName, signal: AbortSignal, ask: (get: typeof fetch) => Promise<T>): Promise<T> {
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), this.#stall)
    const either = AbortSignal.any([signal, late.signal])
    try {
      return await ask((input, init) => this.#get(name, String(input), { ...init, signal: either }))
    } catch (error) {
      signal.throwIfAborted()
      if (late.signal.aborted)
        throw unreachable('the hub does not answer', `the hub at ${this.#origin} has not answered in ${this.#stall / 1000} s`)
      throw error instanceof AdapterError ? error : notAHub(name, error)
    } finally {
      clearTimeout(timer)
    }
  }

  async #get(name: HubName, url: string, init: RequestInit): Promise<Response> {
    const { token, endpoint } = this.#settings
    if (!/^https?:/.test(this.#origin ?? ''))
      throw unreachable('the address of the hub is none', `HF_ENDPOINT must be an http or https address, not ${endpoint}`)
    const headers = new Headers(init.headers)
    // A redirect to another origin leaves it behind (the fetch standard, HTTP-redirect fetch, step 13).
    if (token !== undefined && URL.canParse(url) && new URL(url).origin === this.#origin)
      headers.set('authorization', `Bearer ${token}`)
    const response = await fetch(url, { ...init, headers }).catch((error: Error) => {
      throw unreachable('the hub cannot be reached', `the hub at ${this.#origin} cannot be reached: ${reasonOf(error)}`)
    })
    if (response.ok) return response
    await response.body?.cancel()
    throw this.#refused(name, response)
  }

  #refused({ repo, revision }: HubName, { status, headers }: Response): AdapterError {
    const code = headers.get('x-error-code')
    const withToken =
      this.#settings.token === undefined
        ? 'the server has no token (HF_TOKEN)'
        : "the server's token (HF_TOKEN) does not give access"
    if (code === 'GatedRepo' || status === 403)
      return new AdapterError(
        'hub_denied',
        `the hub has ${repo} for those alone who were given access to it (gated or private): ask for it on its page; ${withToken}`,
      )
    if (code === 'RevisionNotFound') return new AdapterError('hub_not_found', `${repo} has no revision ${revision} on the hub`)
    if (status === 404 && code === 'EntryNotFound')
      return new AdapterError('hub_not_found', `${repo} at ${revision} has no such folder or file on the hub`)
    if (status === 401 || status === 404)
      return new AdapterError('hub_not_found', `the hub has no ${repo}, or it is private: ${withToken}`)
    return unreachable(`the hub answers ${status}`)
  }
}

/** Also for the body of a response. */
export const unreachable = (message: string, detail = message) => new AdapterError('hub_unreachable', message, { detail })

/** `fetch failed` says nothing; its cause does. */
export function reasonOf(error: unknown): string {
  const { message, cause } = error as Error
  const inner = cause as (Error & { code?: string }) | undefined
  return inner?.code ?? inner?.message ?? message
}

const notAHub = ({ repo }: HubName, error?: unknown) =>
  new AdapterError('hub_file_invalid', `what the hub says of ${repo} is not what a hub says`, {
    detail: `what the hub says of ${repo} is not what a hub says${error === undefined ? '' : `: ${reasonOf(error)}`}`,
  })
