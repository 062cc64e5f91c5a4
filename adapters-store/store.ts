/** Loads adapters in a thread of its own: folding a large one takes seconds, and the caller serves requests meanwhile. */
import { Worker } from 'node:worker_threads'
import { AdapterError, type AdapterErrorCode } from './errors.ts'
import type { LoadOptions } from './load.ts'
import type { AdapterImage, BaseModel } from './types.ts'

export interface LoadRequest {
  id: number
  name: string
  directory: string
}

export type LoadReply = { id: number; image: AdapterImage } | { id: number; error: { code?: AdapterErrorCode; message: string } }

interface Pending {
  resolve(image: AdapterImage): void
  reject(error: Error): void
}

export class AdapterStore {
  readonly #base: BaseModel
  readonly #options: LoadOptions
  readonly #pending = new Map<number, Pending>()
  #thread: Worker | undefined
  #nextId = 0
  #closed = false

  constructor(base: BaseModel, options: LoadOptions) {
    this.#base = base
    this.#options = options
  }

  /** Rejects with AdapterError as loadAdapter throws it. Loads run one after the other, in the order asked for. */
  load(name: string, directory: string): Promise<AdapterImage> {
    if (this.#closed)
      return Promise.reject(new AdapterError('adapter_store_closed', `${name} cannot be loaded: the server is closing`))
    this.#thread ??= this.#start()
    this.#thread.ref()
    const request: LoadRequest = { id: this.#nextId++, name, directory }
    return new Promise((resolve, reject) => {
      this.#pending.set(request.id, { resolve, reject })
      this.#thread!.postMessage(request)
    })
  }

  /** Ends the thread; loads under way are rejected. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    const thread = this.#thread
    this.#thread = undefined
    this.#fail(new AdapterError('adapter_store_closed', 'the server is closing'))
    await thread?.terminate()
  }

  #start(): Worker {
    const thread = new Worker(new URL('./loader-thread.js', import.meta.url), {
      workerData: { base: this.#base, options: this.#options },
    })
    thread.on('message', (reply: LoadReply) => this.#settle(thread, reply))
    thread.on('error', (error) => this.#lost(thread, error.message))
    thread.on('exit', (code) => this.#lost(thread, `it ended with code ${code}`))
    return thread
  }

  #settle(thread: Worker, reply: LoadReply): void {
    const pending = this.#pending.get(reply.id)
    this.#pending.delete(reply.id)
    // An idle loader must not keep the process alive.
    if (this.#pending.size === 0) thread.unref()
    if (!pending) return
    if ('image' in reply) pending.resolve(reply.image)
    else if (reply.error.code) pending.reject(new AdapterError(reply.error.code, reply.error.message))
    else pending.reject(new Error(reply.error.message))
  }

  /** The thread died (out of memory, most likely): what it had in hand fails, and the next load starts another. */
  #lost(thread: Worker, reason: string): void {
    if (this.#thread !== thread) return
    this.#thread = undefined
    this.#fail(new AdapterError('adapter_loader_lost', `the loader thread was lost: ${reason}`))
  }

  #fail(error: Error): void {
    for (const pending of this.#pending.values()) pending.reject(error)
    this.#pending.clear()
  }
}
