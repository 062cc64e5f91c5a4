/** A step's plan, and the plan in the making. */
import type { EngineErrorCode } from '../errors.ts'
import { begin, rowsBeyondOne, type Scheduled, withinRows } from './scheduled.ts'
import type { Sequence } from './sequence.ts'

export interface Plan {
  scheduled: Scheduled[]
  /** Sequences that went back to the queue. */
  preempted: Sequence[]
  /** Sequences that have output and cannot grow although they are alone. */
  outgrown: Sequence[]
  /** Sequences that cannot be admitted at all; they hold nothing. */
  refused: { sequence: Sequence; code: EngineErrorCode; reason: string }[]
}

export class Draft {
  /** Who computes how many tokens. */
  readonly picked: { sequence: Sequence; count: number }[] = []
  readonly preempted: Sequence[] = []
  readonly outgrown: Sequence[] = []
  readonly refused: Plan['refused'] = []
  /** Tokens that the step may still take. */
  budget: number
  /** Rows of logits that prompts which are scored may still have, beyond the one that each sequence has. */
  spareRows: number
  /** The step before is not over. */
  readonly inFlight: boolean
  /** Blocks are short for those that run, and nobody may be put back before that step is over. */
  blocked = false
  /** Sequences that are held back. */
  held = 0

  constructor(budget: number, spareRows: number, inFlight: boolean) {
    this.budget = budget
    this.spareRows = spareRows
    this.inFlight = inFlight
  }

  pick(sequence: Sequence, count: number): void {
    this.picked.push({ sequence, count })
    this.budget -= count
    this.spareRows -= rowsBeyondOne(sequence, count)
  }

  /** Of `count` tokens of a sequence those that have room for their logits. */
  within(sequence: Sequence, count: number): number {
    return withinRows(sequence, count, this.spareRows)
  }

  /** The same for each of `sequences` in turn, in place. */
  cut(sequences: readonly Sequence[], counts: Int32Array): void {
    let spare = this.spareRows
    for (let i = 0; i < sequences.length; i++) {
      counts[i] = withinRows(sequences[i], counts[i], spare)
      spare -= rowsBeyondOne(sequences[i], counts[i])
    }
  }

  /** How many more tokens one that is picked could compute. */
  moreOf({ sequence, count }: { sequence: Sequence; count: number }): number {
    const most = Math.min(sequence.remaining, count + this.budget)
    return Math.max(0, withinRows(sequence, most, this.spareRows + rowsBeyondOne(sequence, count)) - count)
  }

  extend(item: { sequence: Sequence; count: number }, more: number): void {
    const before = rowsBeyondOne(item.sequence, item.count)
    item.count += more
    this.budget -= more
    this.spareRows -= rowsBeyondOne(item.sequence, item.count) - before
  }

  /** Whether one that ran before this plan can be scheduled: the plan has neither put it back nor ended it. */
  goesOn(sequence: Sequence): boolean {
    return sequence.state === 'running' && !this.outgrown.includes(sequence)
  }

  /** The plan, with all that was picked begun. */
  plan(): Plan {
    const { preempted, outgrown, refused } = this
    return { scheduled: this.picked.map(({ sequence, count }) => begin(sequence, count)), preempted, outgrown, refused }
  }
}
