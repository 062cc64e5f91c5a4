/**
 * Constrained sequences, as the engine's thread sees them. Each has a matcher in a thread that makes masks (server/structured/); that thread is told of every token, and writes what
 * may come next into memory that the addon samples by. A mask has a ticket: the addon takes it only if it is the one that was asked for last.
 */
import type { MessagePort } from 'node:worker_threads'
import { type NativeEngine, STEP_MASK_FIELDS } from '../../native/types.ts'
import type { Sequence } from '../scheduler/sequence.ts'
import type { MaskThread } from '../types.ts'

/** To a thread that makes masks. Shape of `items`: slot, ticket, token for each. */
export type ToMasks =
  | { type: 'begin'; slot: number; ticket: number; grammar: number; tokens: number[]; endTokens: Int32Array; ignoreEos: boolean }
  | { type: 'tokens'; items: Int32Array }
  | { type: 'end'; slot: number }

/** From it, whenever it has written masks: those that it could not make, by ticket. */
export interface FromMasks {
  failed: { ticket: number; message: string }[]
}

interface Entered {
  region: number
  port: MessagePort
  places: Int32Array
  /** Slot, ticket, token of those that were sampled in this step. */
  tokens: number[]
}

/** What the scheduler asks of a constrained sequence. */
class Mask {
  readonly slot: number
  readonly entered: Entered
  ticket: number
  /** The addon wanted its mask and it was not there. */
  late = false
  private readonly stride: number
  private readonly early: boolean

  constructor(slot: number, entered: Entered, ticket: number, stride: number, early: boolean) {
    this.slot = slot
    this.entered = entered
    this.ticket = ticket
    this.stride = stride
    this.early = early
  }

  get holdsBack(): boolean {
    if (!this.late && !this.early) return false
    return Atomics.load(this.entered.places, this.slot * this.stride) !== this.ticket
  }
}

export class Masks {
  /** Rows that were computed and not sampled, because their masks were late. */
  lateRows = 0
  private readonly native: Pick<NativeEngine, 'addMasks'>
  private readonly slots: number
  private readonly early: boolean
  private readonly threads = new Map<number, Entered>()
  private readonly open = new Map<Sequence, Mask>()
  private regions = 0
  private lastTicket = 0

  /** `early`: a mask is wanted when its step begins, not only when it samples. */
  constructor(native: Pick<NativeEngine, 'addMasks'>, slots: number, early: boolean) {
    this.native = native
    this.slots = slots
    this.early = early
  }

  /** `onMasks` is called when it has written some, with the sequences that it failed. */
  add({ id, port, places }: MaskThread, onMasks: (failed: { sequence: Sequence; message: string }[]) => void): void {
    this.native.addMasks(places)
    this.threads.set(id, { region: this.regions++, port, places: new Int32Array(places.buffer), tokens: [] })
    port.on('message', ({ failed }: FromMasks) => {
      const tickets = new Map(failed.map(({ ticket, message }) => [ticket, message]))
      const found = [...this.open].filter(([, mask]) => tickets.has(mask.ticket))
      onMasks(found.map(([sequence, { ticket }]) => ({ sequence, message: tickets.get(ticket) as string })))
    })
  }

  has(id: number): boolean {
    return this.threads.has(id)
  }

  /** Its thread is gone, and nobody is constrained by it any more. */
  remove(id: number): void {
    this.threads.get(id)?.port.close()
    this.threads.delete(id)
  }

  close(): void {
    for (const id of [...this.threads.keys()]) this.remove(id)
  }

  /** A sequence has come into a slot: its first mask, or the one behind what it had told before a preemption, is asked for. */
  begin(sequence: Sequence, slot: number): void {
    const { constraint, lists, sampling } = sequence.request
    const entered = constraint && this.threads.get(constraint.thread)
    if (!entered) return
    const mask = new Mask(slot, entered, this.nextTicket(), entered.places.length / this.slots, this.early)
    this.open.set(sequence, mask)
    sequence.mask = mask
    const { ticket } = mask
    const tokens = sequence.tokens.slice(sequence.promptLength)
    const { ignoreEos } = sampling
    this.post(entered, {
      type: 'begin',
      slot,
      ticket,
      grammar: constraint.grammar,
      tokens,
      endTokens: lists.endTokens,
      ignoreEos,
    })
  }

  /** The mask that follows a token is asked for, at the next `flush`. */
  sampled(sequence: Sequence, token: number): void {
    const mask = this.open.get(sequence)
    if (!mask) return
    mask.ticket = this.nextTicket()
    mask.late = false
    mask.entered.tokens.push(mask.slot, mask.ticket, token)
  }

  /** The sequence's row has been computed for nothing; it goes on once its mask is there. */
  wasLate(sequence: Sequence): void {
    const mask = this.open.get(sequence)
    if (mask) mask.late = true
    this.lateRows++
  }

  end(sequence: Sequence): void {
    const mask = this.open.get(sequence)
    if (!mask) return
    this.open.delete(sequence)
    sequence.mask = undefined
    this.post(mask.entered, { type: 'end', slot: mask.slot })
  }

  /** Tells the threads of a step's tokens, each in one message. */
  flush(): void {
    for (const entered of this.threads.values()) this.flushOne(entered)
  }

  /** StepBatch.masks: appends what a sequence that samples needs. */
  pack(sequence: Sequence, to: number[]): void {
    const mask = this.open.get(sequence)
    if (mask) to.push(mask.slot, mask.entered.region, mask.ticket | 0)
  }

  private flushOne({ port, tokens }: Entered): void {
    if (tokens.length === 0) return
    port.postMessage({ type: 'tokens', items: Int32Array.from(tokens) } satisfies ToMasks)
    tokens.length = 0
  }

  /** In order with the tokens. */
  private post(entered: Entered, message: ToMasks): void {
    this.flushOne(entered)
    entered.port.postMessage(message)
  }

  /** Any but 0, which lies in a place at first. */
  private nextTicket(): number {
    this.lastTicket = (this.lastTicket + 1) % 2 ** 31 || 1
    return this.lastTicket
  }
}

/** As StepBatch has them; undefined: nobody has one. */
export function packedMasks(masks: readonly number[]): Int32Array | undefined {
  if (masks.length % STEP_MASK_FIELDS !== 0) throw new Error('masks are packed in items')
  return masks.length > 0 ? Int32Array.from(masks) : undefined
}
