/** A subscriber of KV events as a router has one: it keeps what it believes to be cached, sees gaps by the batches' numbers and asks for what it missed. */
import { decode } from '@msgpack/msgpack'
import { Dealer, Subscriber } from 'zeromq'
import { Believed } from './believed.ts'

interface Stored {
  type: 'BlockStored'
  block_hashes: Uint8Array[]
  parent_block_hash: Uint8Array | null
  token_ids: number[]
  block_size: number
  lora_id: null
  medium: string
  lora_name: string | null
  extra_keys: (string[] | null)[]
}
export type WireEvent =
  | Stored
  | { type: 'BlockRemoved'; block_hashes: Uint8Array[]; medium: string }
  | { type: 'AllBlocksCleared' }

export interface WireBatch {
  topic: string
  sequence: number
  at: number
  events: WireEvent[]
  rank: number
}

export const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

export function readBatch([topic, sequence, payload]: Buffer[]): WireBatch {
  const [at, events, rank] = decode(payload) as [number, WireEvent[], number]
  return { topic: topic.toString(), sequence: Number(sequence.readBigUInt64BE()), at, events, rank }
}

/** All that is there from a number on, up to the end's marker. */
export async function askAgain(replayEndpoint: string, from: number): Promise<WireBatch[]> {
  const dealer = new Dealer({ linger: 0, receiveTimeout: 5000 })
  dealer.connect(replayEndpoint)
  const start = Buffer.alloc(8)
  start.writeBigUInt64BE(BigInt(from))
  await dealer.send([Buffer.alloc(0), start])
  const batches: WireBatch[] = []
  try {
    for (;;) {
      const [, ...frames] = await dealer.receive()
      if (frames[1].readBigInt64BE() === -1n) return batches
      batches.push(readBatch(frames))
    }
  } finally {
    dealer.close()
  }
}

export class KvSubscriber {
  readonly believed = new Believed()
  readonly batches: WireBatch[] = []
  /** Gaps that were filled. */
  healed = 0
  sequence = -1
  private readonly socket: Subscriber
  private readonly replayEndpoint: string
  private readonly ended: Promise<void>
  private readonly waiting = new Set<() => void>()

  constructor(endpoint: string, replayEndpoint: string, topic = '', highWaterMark = 1000) {
    this.replayEndpoint = replayEndpoint
    this.socket = new Subscriber({ linger: 0, receiveHighWaterMark: highWaterMark })
    this.socket.connect(endpoint)
    this.socket.subscribe(topic)
    this.ended = this.listen()
  }

  /** Reads what was before it came. */
  async begin(): Promise<void> {
    await this.heal(Number.MAX_SAFE_INTEGER)
  }

  /** Resolves when it has read up to the batch. */
  async upTo(sequence: number, withinMs = 5000): Promise<void> {
    const until = performance.now() + withinMs
    while (this.sequence < sequence) {
      if (performance.now() > until) await this.heal(sequence + 1)
      if (performance.now() > until + withinMs) throw new Error(`it has read up to ${this.sequence}, not ${sequence}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 50)
        this.waiting.add(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  async close(): Promise<void> {
    this.socket.close()
    await this.ended
  }

  private async listen(): Promise<void> {
    for await (const frames of this.socket) {
      const batch = readBatch(frames)
      if (batch.sequence > this.sequence + 1) {
        this.healed++
        await this.heal(batch.sequence)
      }
      this.take(batch)
    }
  }

  private async heal(before: number): Promise<void> {
    for (const batch of await askAgain(this.replayEndpoint, this.sequence + 1)) if (batch.sequence < before) this.take(batch)
  }

  private take(batch: WireBatch): void {
    // Heard twice: live, and again.
    if (batch.sequence <= this.sequence) return
    this.sequence = batch.sequence
    this.batches.push(batch)
    for (const event of batch.events) {
      if (event.type === 'AllBlocksCleared') this.believed.take({ type: 'cleared' })
      else
        this.believed.take({
          type: event.type === 'BlockStored' ? 'stored' : 'removed',
          hashes: event.block_hashes.map(hex),
        })
    }
    for (const wake of this.waiting) wake()
    this.waiting.clear()
  }
}
