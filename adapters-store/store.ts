/** Loads adapters in threads of their own: folding a large one takes seconds, and the caller serves requests meanwhile. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { LOADER_THREADS } from './arithmetic.ts'
import { AdapterError, type AdapterErrorCode } from './errors.ts'
import { WEIGHTS_FILE } from './files.ts'
import type { ImageCacheSettings } from './image-cache.ts'
import type { TextKnowledge } from './text/read.ts'
import type { AdapterImage, BaseModel, LoadOptions } from './types.ts'

/** What a thread is started with. */
export interface LoaderThreadData {
  base: BaseModel
  options: LoadOptions
  cache?: ImageCacheSettings
  /** What threads before it have found out of tokenizers. */
  texts?: TextKnowledge
}

export interface LoadRequest {
  name: string
  directory: string
  /** Where its symbolic links may lead. */
  root: string
}

export type ThreadReply =
  /** `texts`: where more is known of tokenizers than before. */
  | { type: 'loaded'; image: AdapterImage; texts?: TextKnowledge }
  | { type: 'failed'; code: AdapterErrorCode; message: string; detail: string }

interface Load {
  request: LoadRequest
  resolve(image: AdapterImage): void
  reject(error: Error): void
}

interface LoaderThread {
  worker: Worker
  /** What it has in hand, and how large its file is. */
  load?: Load
  bytes: number
  /** Ends it, unless it gets another load. */
  idle?: NodeJS.Timeout
}

/** Files that are loaded at once take no more than this together, unless it is one alone: each is held beside its image. */
const BYTES_AT_ONCE = 1 << 30
/** A thread that has nothing to load for as many milliseconds is ended: what it read files to goes with it, at once and for certain. Another starts in some 50. */
const IDLE_MS = 1000
/** Megabytes: configs and headers of a hundred thousand tensors take some 100. */
const HEAP = 1024
/** MiB. Long lists are what it makes: tensors lie outside the heap. */
const YOUNG = 12

export interface StoreSettings {
  /** At most, started when they are needed. They run at a lower priority than the rest (Linux). */
  threads?: number
  /** A thread's memory for objects; files and images lie beside it. */
  heapMegabytes?: number
  /** Where packed images are kept on disk. */
  cache?: ImageCacheSettings
}

export class AdapterStore {
  readonly #base: BaseModel
  readonly #options: LoadOptions
  readonly #limit: number
  readonly #queue: Load[] = []
  readonly #heap: number
  readonly #cache: ImageCacheSettings | undefined
  readonly #threads = new Set<LoaderThread>()
  #texts: TextKnowledge | undefined
  #closed = false

  constructor(
    base: BaseModel,
    options: LoadOptions,
    { threads = LOADER_THREADS, heapMegabytes = HEAP, cache }: StoreSettings = {},
  ) {
    this.#base = base
    this.#options = options
    this.#limit = threads
    this.#heap = heapMegabytes
    this.#cache = cache
  }

  /**
   * Rejects with AdapterError as loadAdapter throws it. Loads begin in the order asked for, several at once, and end in any order. Symbolic links lead only where
   * `root` allows (links.ts).
   */
  load(name: string, directory: string, root = directory): Promise<AdapterImage> {
    if (this.#closed)
      return Promise.reject(new AdapterError('adapter_store_closed', `${name} cannot be loaded: the server is closing`))
    return new Promise((resolve, reject) => {
      this.#queue.push({ request: { name, directory, root }, resolve, reject })
      this.#dispatch()
    })
  }

  /** Ends the threads; loads under way are rejected. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    const threads = [...this.#threads]
    const loads = [...threads.flatMap(({ load }) => load ?? []), ...this.#queue.splice(0)]
    this.#threads.clear()
    for (const { idle } of threads) clearTimeout(idle)
    for (const load of loads) load.reject(new AdapterError('adapter_store_closed', 'the server is closing'))
    await Promise.all(threads.map(({ worker }) => worker.terminate()))
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const bytes = weightsBytes(this.#queue[0].request.directory)
      const busy = [...this.#threads].filter(({ load }) => load)
      if (
        !mayBegin(
          bytes,
          busy.map((thread) => thread.bytes),
          this.#limit,
        )
      )
        return
      const load = this.#queue.shift() as Load
      let thread: LoaderThread
      try {
        thread = [...this.#threads].find(({ load }) => !load) ?? this.#start()
      } catch (error) {
        // No thread to be had now; what comes later may get one.
        load.reject(lost((error as Error).message))
        continue
      }
      clearTimeout(thread.idle)
      thread.load = load
      thread.bytes = bytes
      thread.worker.ref()
      thread.worker.postMessage(load.request)
    }
  }

  #start(): LoaderThread {
    const worker = new Worker(new URL('./loader-thread.js', import.meta.url), {
      workerData: { base: this.#base, options: this.#options, cache: this.#cache, texts: this.#texts } satisfies LoaderThreadData,
      resourceLimits: { maxOldGenerationSizeMb: this.#heap, maxYoungGenerationSizeMb: YOUNG },
    })
    const thread: LoaderThread = { worker, bytes: 0 }
    this.#threads.add(thread)
    worker.on('message', (reply: ThreadReply) => this.#receive(thread, reply))
    worker.on('error', (error) => this.#lost(thread, error.message))
    worker.on('exit', (code) => this.#lost(thread, `it ended with code ${code}`))
    worker.unref() // after the listeners, which make it count again
    return thread
  }

  #receive(thread: LoaderThread, reply: ThreadReply): void {
    if (!this.#threads.has(thread)) return
    const load = thread.load as Load
    thread.load = undefined
    thread.worker.unref() // an idle loader must not keep the process alive
    if (reply.type === 'loaded') {
      this.#texts = reply.texts ?? this.#texts
      load.resolve(reply.image)
    } else load.reject(new AdapterError(reply.code, reply.message, { detail: reply.detail }))
    thread.idle = setTimeout(() => {
      this.#threads.delete(thread)
      thread.worker.terminate()
    }, IDLE_MS)
    thread.idle.unref()
    this.#dispatch()
  }

  /** The thread died (out of memory, most likely): what it had in hand fails, and the next load starts another. */
  #lost(thread: LoaderThread, reason: string): void {
    if (!this.#threads.delete(thread)) return
    clearTimeout(thread.idle)
    thread.load?.reject(lost(reason))
    this.#dispatch()
  }
}

function lost(reason: string): AdapterError {
  return new AdapterError('adapter_loader_lost', `the loader thread was lost: ${reason}`)
}

/** Whether a load of a file of `bytes` may begin beside those that are under way. */
export function mayBegin(bytes: number, underWay: number[], threads: number): boolean {
  if (underWay.length === 0) return true
  const together = underWay.reduce((sum, other) => sum + other, bytes)
  return underWay.length < threads && together <= BYTES_AT_ONCE
}

/** 0 if it cannot be told: the load itself says why. */
function weightsBytes(directory: string): number {
  try {
    return statSync(join(directory, WEIGHTS_FILE)).size
  } catch {
    return 0
  }
}
