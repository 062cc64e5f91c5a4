/** A step's plan, and the plan in the making. */
import type { EngineErrorCode } from '../errors.ts'
import type { Sequence } from './sequence.ts'

/** `count` tokens of `sequence` from `sequence.computed` on. */
export interface Scheduled {
  sequence: Sequence
  count: number
}

export interface Plan {
  scheduled: Scheduled[]
  /** Sequences that have output and cannot grow although they are alone. */
  outgrown: Sequence[]
  /** Sequences that cannot be admitted at all; they hold nothing. */
  refused: { sequence: Sequence; code: EngineErrorCode; reason: string }[]
}

export class Draft implements Plan {
  readonly scheduled: Scheduled[] = []
  readonly outgrown: Sequence[] = []
  readonly refused: Plan['refused'] = []
  /** Tokens that the step may still take. */
  budget: number
  preempted = false
  /** Sequences that are held back. */
  held = 0

  constructor(budget: number) {
    this.budget = budget
  }

  schedule(sequence: Sequence, count: number): void {
    sequence.scheduledAt ??= Date.now()
    this.scheduled.push({ sequence, count })
    this.budget -= count
  }

  /** Whether one that ran before this plan can be scheduled: the plan has neither put it back nor ended it. */
  goesOn(sequence: Sequence): boolean {
    return sequence.state === 'running' && !this.outgrown.includes(sequence)
  }
}
