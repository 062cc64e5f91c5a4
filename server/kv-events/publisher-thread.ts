/**
 * The thread that publishes: takes batches from the engine's thread, numbers and encodes them, and sends them to whoever has subscribed. ZeroMQ is loaded here and nowhere else. Number 0 says that the cache is
 * empty, so that a subscriber who knew the server before it started anew forgets what it held; the last one says so again.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { Publisher, Router } from 'zeromq'
import { HELD, TAKEN } from '../../runtime/engine/cache-teller.ts'
import type { CacheBatch } from '../../runtime/index.ts'
import { isListenedOn } from '../config/kv-events.ts'
import { encodeBatch, type KvEvent, kvEvent, sequenceBytes } from './encode.ts'
import type { FromPublisher, PublisherData } from './messages.ts'
import { Past } from './past.ts'

/** Milliseconds that what is queued for subscribers may take to leave when the server ends. */
const LINGER = 500
const EMPTY = Buffer.alloc(0)
/** -1: all that was asked for has come. */
const END = Buffer.alloc(8, 0xff)

const main = parentPort as MessagePort
const tell = (message: FromPublisher) => main.postMessage(message)

class PublisherThread {
  private readonly data: PublisherData
  private readonly topic: Buffer
  private readonly past: Past
  private readonly live: Publisher
  private readonly replay: Router | undefined
  private sequence = 0
  /** Sending is one after the other. */
  private sending: Promise<void> = Promise.resolve()
  private ended = false

  constructor(data: PublisherData) {
    const { topic, bufferSteps, hwm, endpoint, replayEndpoint } = data.settings
    this.data = data
    this.topic = Buffer.from(topic)
    this.past = new Past(bufferSteps)
    this.live = new Publisher({ sendHighWaterMark: hwm, linger: LINGER, ipv6: endpoint.includes('[') })
    // Whoever asks without reading costs the buffer once, by reference, and no more.
    if (replayEndpoint !== undefined)
      this.replay = new Router({ sendHighWaterMark: bufferSteps + 1, linger: 0, ipv6: replayEndpoint.includes('[') })
  }

  async open(): Promise<void> {
    const { endpoint, replayEndpoint } = this.data.settings
    if (isListenedOn(endpoint)) await this.live.bind(endpoint)
    else this.live.connect(endpoint)
    if (replayEndpoint !== undefined) await this.replay?.bind(replayEndpoint)
    tell({
      type: 'ready',
      endpoint: this.live.lastEndpoint ?? endpoint,
      replayEndpoint: this.replay?.lastEndpoint ?? replayEndpoint,
    })
    this.publish(Date.now(), [{ type: 'AllBlocksCleared' }])
    this.data.port.on('message', (batch: CacheBatch) => this.take(batch))
    void this.answer()
  }

  async end(): Promise<void> {
    if (this.ended) return
    this.ended = true
    this.data.port.close()
    this.publish(Date.now(), [{ type: 'AllBlocksCleared' }])
    await this.sending
    this.live.close()
    this.replay?.close()
    main.close()
  }

  /** It could not open: nobody has heard anything. */
  abandon(): void {
    this.data.port.close()
    this.live.close()
    this.replay?.close()
    main.close()
  }

  private take({ at, events }: CacheBatch): void {
    if (this.ended) return
    this.publish(
      at,
      events.map((event) => kvEvent(event, this.data.blockSize)),
    )
    const { shared, port } = this.data
    Atomics.add(shared, TAKEN, 1)
    if (Atomics.compareExchange(shared, HELD, 1, 0) === 1) port.postMessage('more')
  }

  private publish(at: number, events: readonly KvEvent[]): void {
    const batch = { sequence: this.sequence++, payload: encodeBatch(at, events) }
    this.past.add(batch)
    this.sending = this.sending
      .then(() => this.live.send([this.topic, sequenceBytes(batch.sequence), batch.payload]))
      .catch((error: Error) => this.warn(`batch ${batch.sequence} was not published: ${error.message}`))
  }

  /** Requests are three frames, as a REQ socket sends them: who asks, an empty one, and the first number wanted. */
  private async answer(): Promise<void> {
    if (!this.replay) return
    for await (const [who, , from, ...others] of this.replay) {
      if (from === undefined || from.length > 8 || others.length > 0) {
        this.warn('a request for past batches was not three frames with a number of at most 8 bytes in the last')
        continue
      }
      try {
        const first = BigInt(`0x0${from.toString('hex')}`)
        for (const { sequence, payload } of this.past.from(first))
          await this.replay.send([who, EMPTY, this.topic, sequenceBytes(sequence), payload])
        await this.replay.send([who, EMPTY, EMPTY, END, EMPTY])
      } catch (error) {
        if (!this.ended) this.warn(`past batches were not sent: ${(error as Error).message}`)
      }
    }
  }

  private warn(message: string): void {
    tell({ type: 'warning', message: `KV events: ${message}` })
  }
}

const thread = new PublisherThread(workerData as PublisherData)
main.on('message', () => void thread.end())
thread.open().catch((error: Error) => {
  tell({ type: 'unready', message: error.message })
  thread.abandon()
})
