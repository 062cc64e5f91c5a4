/** How often what was used so often was wanted again, learned from what was: many prompts are sent once, and a turn of a conversation is nearly always followed by another. */
import type { Usage } from './eviction.ts'
import { SHELVES, shelfOf } from './shelves.ts'

/** Returns and departures after which the ones so far count half. */
const MOST = 1000
/** Returns that are taken for granted, so that nothing is without a chance. */
const PRIOR = 4

export class Odds {
  private readonly wanted = new Float64Array(SHELVES)
  private readonly left = new Float64Array(SHELVES)

  /** It is used again: while it was there, or after it left. */
  returned(usage: Usage): void {
    this.count(this.wanted, usage)
  }

  leaves(usage: Usage): void {
    this.count(this.left, usage)
  }

  /** From 0 to 1. */
  of({ weight }: Usage): number {
    const shelf = shelfOf(weight)
    return (this.wanted[shelf] + PRIOR) / (this.wanted[shelf] + this.left[shelf] + PRIOR)
  }

  private count(counts: Float64Array, { weight }: Usage): void {
    const shelf = shelfOf(weight)
    if (++counts[shelf] < MOST) return
    this.wanted[shelf] /= 2
    this.left[shelf] /= 2
  }
}
