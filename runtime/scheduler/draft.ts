/** A step's plan, and the plan in the making. */
import type { EngineErrorCode } from '../errors.ts'
import { begin, type Scheduled } from './scheduled.ts'
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
  /** The step before is not over. */
  readonly inFlight: boolean
  /** Blocks are short for those that run, and nobody may be put back before that step is over. */
  blocked = false
  /** Sequences that are held back. */
  held = 0

  constructor(budget: number, inFlight: boolean) {
    this.budget = budget
    this.inFlight = inFlight
  }

  pick(sequence: Sequence, count: number): void {
    this.picked.push({ sequence, count })
    this.budget -= count
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
