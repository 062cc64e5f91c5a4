/** A step's plan, and the plan in the making. */
import type { EngineErrorCode } from '../errors.ts'
import { type Allowance, affordable } from './budget.ts'
import { begin, rowsBeyondOne, type Scheduled, withinRows } from './scheduled.ts'
import type { Sequence } from './sequence.ts'

export interface Plan {
  scheduled: Scheduled[]
  /** Sequences that have output and cannot grow although they are alone. */
  outgrown: Sequence[]
  /** Sequences that cannot be admitted at all; they hold nothing. */
  refused: { sequence: Sequence; code: EngineErrorCode; reason: string; retryAfter?: number }[]
}

/** Who computes how many tokens, and how many more that are drafted. */
export interface Picked {
  sequence: Sequence
  count: number
  drafted?: number
}

export class Draft {
  readonly picked: Picked[] = []
  /** Blocks were short for those that run, and some went back to the queue. */
  preempted = false
  readonly outgrown: Sequence[] = []
  readonly refused: Plan['refused'] = []
  /** What the step may still take. */
  readonly left: Allowance
  /** Rows of logits that prompts which are scored may still have, beyond the one that each sequence has. */
  spareRows: number
  /** The step before is not over. */
  readonly inFlight: boolean
  /** Blocks are short for those that run, and nobody may be put back before that step is over. */
  blocked = false
  /** Sequences that are held back. */
  held = 0

  /** Milliseconds of `left` that one of its next tokens takes, of which `context` come before. */
  private readonly tokenMs: (sequence: Sequence, context: number) => number

  constructor(left: Allowance, tokenMs: (sequence: Sequence, context: number) => number, spareRows: number, inFlight: boolean) {
    this.left = left
    this.tokenMs = tokenMs
    this.spareRows = spareRows
    this.inFlight = inFlight
  }

  /** Whether it may take a prompt's token more. */
  get open(): boolean {
    return this.left.tokens > 0 && this.left.ms > 0
  }

  pick(sequence: Sequence, count: number): void {
    this.picked.push({ sequence, count })
    this.spend(sequence, count)
    this.spareRows -= rowsBeyondOne(sequence, count)
  }

  private spend(sequence: Sequence, count: number): void {
    this.left.tokens -= count
    if (this.left.ms !== Number.POSITIVE_INFINITY) this.left.ms -= count * this.tokenMs(sequence, sequence.computed)
  }

  /** Of its next `count` tokens as many as the step has tokens and time for. */
  private most(sequence: Sequence, count: number, context: number): number {
    return Math.min(count, this.left.tokens, affordable(this.left.ms, this.tokenMs(sequence, context)))
  }

  /** Of `count` tokens of a sequence, after `context` others, those that the step may take and that have room for their logits. */
  within(sequence: Sequence, count: number, context = sequence.computed): number {
    return withinRows(sequence, this.most(sequence, count, context), this.spareRows)
  }

  /** For each of `sequences` in turn, in place, those of its share that have room for their logits. */
  cut(sequences: readonly Sequence[], counts: Int32Array): void {
    let spare = this.spareRows
    for (let i = 0; i < sequences.length; i++) {
      counts[i] = withinRows(sequences[i], counts[i], spare)
      spare -= rowsBeyondOne(sequences[i], counts[i])
    }
  }

  /** How many more tokens one that is picked could compute. */
  moreOf({ sequence, count }: { sequence: Sequence; count: number }): number {
    const most = count + this.most(sequence, sequence.remaining - count, sequence.computed)
    return Math.max(0, withinRows(sequence, most, this.spareRows + rowsBeyondOne(sequence, count)) - count)
  }

  extend(item: { sequence: Sequence; count: number }, more: number): void {
    const before = rowsBeyondOne(item.sequence, item.count)
    item.count += more
    this.spend(item.sequence, more)
    this.spareRows -= rowsBeyondOne(item.sequence, item.count) - before
  }

  /** `drafted` tokens more, each with a row of logits. */
  draftFor(item: Picked, drafted: number): void {
    item.drafted = drafted
    this.left.tokens -= drafted
    this.spareRows -= drafted
  }

  /** Whether one that ran before this plan can be scheduled: the plan has neither put it back nor ended it. */
  goesOn(sequence: Sequence): boolean {
    return sequence.state === 'running' && !this.outgrown.includes(sequence)
  }

  /** The plan, with all that was picked begun. */
  plan(): Plan {
    const { outgrown, refused } = this
    return { scheduled: this.picked.map(({ sequence, count, drafted }) => begin(sequence, count, drafted)), outgrown, refused }
  }
}
