/** The hub, asked from a thread of its own: decrypting and hashing what comes over a fast line takes a good part of a core, and the caller serves requests meanwhile. */
import { Worker } from 'node:worker_threads'
import { AdapterError } from '../errors.ts'
import { cachedFolder } from './cached.ts'
import type { HubFolder, HubProgress } from './hub.ts'
import type { DownloadReply, DownloadRequest, DownloadThreadData } from './messages.ts'
import type { HubName } from './name.ts'
import type { HubSettings } from './settings.ts'
import type { HubKind } from './wanted.ts'

interface Fetch {
  resolve(folder: HubFolder): void
  reject(error: Error): void
}

/** Milliseconds after which a thread with nothing to do is ended. */
const IDLE_MS = 1000

export class HubDownloads {
  /** Told how far each download is, several times a second. */
  onProgress?: (progress: HubProgress) => void
  /** Told what an operator should know. */
  onWarning?: (message: string) => void
  readonly #settings: HubSettings
  readonly #fetches = new Map<number, Fetch>()
  #worker: Worker | undefined
  #idle: NodeJS.Timeout | undefined
  #last = 0
  #closed = false

  constructor(settings: HubSettings) {
    this.#settings = settings
  }

  /** As Hub's. */
  async fetch(name: HubName, kind: HubKind, signal: AbortSignal, maxBytes?: number): Promise<HubFolder> {
    signal.throwIfAborted()
    if (this.#closed) throw closed()
    const worker = this.#thread()
    const id = ++this.#last
    const leave = () => {
      worker.postMessage({ type: 'leave', id } satisfies DownloadRequest)
      this.#take(id)?.reject(signal.reason)
    }
    try {
      return await new Promise<HubFolder>((resolve, reject) => {
        this.#fetches.set(id, { resolve, reject })
        signal.addEventListener('abort', leave, { once: true })
        worker.postMessage({ type: 'fetch', id, name, kind, maxBytes } satisfies DownloadRequest)
      })
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  /** What is in the cache under a name, if it is whole; nothing is asked of the hub. */
  cached(name: HubName, kind: HubKind): Promise<HubFolder | undefined> {
    return cachedFolder(this.#settings.cache, name, kind)
  }

  /** Ends downloads that are under way. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    const worker = this.#worker
    this.#end(closed())
    await worker?.terminate()
  }

  #thread(): Worker {
    clearTimeout(this.#idle)
    if (this.#worker) {
      this.#worker.ref()
      return this.#worker
    }
    const worker = new Worker(new URL('./download-thread.js', import.meta.url), {
      workerData: { settings: this.#settings } satisfies DownloadThreadData,
    })
    this.#worker = worker
    worker.on('message', (reply: DownloadReply) => this.#receive(reply))
    const lost = (reason: string) => {
      if (this.#worker === worker)
        this.#end(new AdapterError('adapter_loader_lost', `the thread that downloads was lost: ${reason}`))
    }
    worker.on('error', (error) => lost(error.message))
    worker.on('exit', (code) => lost(`it ended with code ${code}`))
    return worker
  }

  #receive(reply: DownloadReply): void {
    if (reply.type === 'progress') this.onProgress?.(reply.progress)
    else if (reply.type === 'warning') this.onWarning?.(reply.message)
    else if (reply.type === 'fetched') this.#take(reply.id)?.resolve(reply.folder)
    else this.#take(reply.id)?.reject(new AdapterError(reply.code, reply.message, { detail: reply.detail }))
  }

  /** One less. A thread without any is ended soon, and keeps no process alive. */
  #take(id: number): Fetch | undefined {
    const fetch = this.#fetches.get(id)
    this.#fetches.delete(id)
    if (this.#fetches.size > 0) return fetch
    const worker = this.#worker
    worker?.unref()
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => {
      this.#worker = undefined
      worker?.terminate()
    }, IDLE_MS).unref()
    return fetch
  }

  #end(error: AdapterError): void {
    clearTimeout(this.#idle)
    this.#worker = undefined
    const fetches = [...this.#fetches.values()]
    this.#fetches.clear()
    for (const { reject } of fetches) reject(error)
  }
}

const closed = () => new AdapterError('adapter_store_closed', 'the server is closing')
