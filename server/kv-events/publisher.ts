/** KV events as the main thread holds them: the thread that publishes is made before the first request, and ends after the engine. */
import { MessageChannel, Worker } from 'node:worker_threads'
import type { CachedBlocks, Engine } from '../../runtime/index.ts'
import { ConfigError } from '../config/config-error.ts'
import type { KvEventsSettings } from '../config/kv-events.ts'
import type { FromPublisher, PublisherData, ToPublisher } from './messages.ts'

/** Milliseconds for it to say its last words. */
const ENDING = 3000

export class KvEvents {
  /** Ports settled. */
  readonly endpoint: string
  readonly replayEndpoint: string | undefined
  private readonly worker: Worker
  private readonly engine: Engine
  private ending: Promise<void> | undefined

  private constructor(worker: Worker, engine: Engine, endpoint: string, replayEndpoint: string | undefined) {
    this.worker = worker
    this.engine = engine
    this.endpoint = endpoint
    this.replayEndpoint = replayEndpoint
  }

  /** Throws a ConfigError where an address cannot be had. `warn` is called if something cannot be published later. */
  static async start(engine: Engine, settings: KvEventsSettings, warn: (message: string) => void): Promise<KvEvents> {
    const { port1, port2 } = new MessageChannel()
    const shared = new Int32Array(new SharedArrayBuffer(8))
    const data: PublisherData = { settings, blockSize: engine.info.blockSize, port: port2, shared }
    const worker = new Worker(new URL('./publisher-thread.js', import.meta.url), {
      workerData: data,
      transferList: [port2],
      name: 'lorikeet-kv-events',
    })
    const ready = await new Promise<Extract<FromPublisher, { type: 'ready' }>>((resolve, reject) => {
      const failed = (why: string) =>
        reject(new ConfigError(`--kv-events-config: ${settings.endpoint} (replay: ${settings.replayEndpoint ?? 'none'}): ${why}`))
      worker.once('message', (message: FromPublisher) => {
        if (message.type === 'ready') resolve(message)
        else failed(message.message)
      })
      worker.once('error', (error) => failed(error.message))
      worker.once('exit', () => failed('its thread ended'))
    })
    worker.on('message', (message: FromPublisher) => {
      if (message.type === 'warning') warn(message.message)
    })
    const events = new KvEvents(worker, engine, ready.endpoint, ready.replayEndpoint)
    worker.on('error', (error) => warn(`KV events end, for their thread died: ${error.message}`))
    worker.unref()
    engine.tellCache({ port: port1, shared, most: settings.maxQueueSize })
    return events
  }

  /** What a subscriber believes who has read all batches up to the number told. */
  cached(): Promise<CachedBlocks | undefined> {
    return this.engine.cachedBlocks()
  }

  /** The engine has failed or is closed: subscribers are told that nothing is cached. */
  end(): Promise<void> {
    this.ending ??= new Promise((resolve) => {
      const timer = setTimeout(() => void this.worker.terminate(), ENDING)
      this.worker.once('exit', () => {
        clearTimeout(timer)
        resolve()
      })
      if (this.worker.threadId < 0) resolve()
      this.worker.postMessage({ type: 'end' } satisfies ToPublisher)
    })
    return this.ending
  }
}
