/**
 * What leaves the pool when blocks are short: pure functions of what is known of an item, the same for idle adapters, those who share a block, and cached prefixes. What
 * something is worth is what losing it costs, the milliseconds to bring it back by the chance that it is wanted, for each block that its going frees.
 */

/** How often and when something was used. */
export interface Usage {
  /** Uses up to the last one, each counted the less the longer it was before that. */
  weight: number
  /** Step of the last one. */
  lastUsed: number
}

/** Steps: the present one, and those in which a use counts half. */
export interface Clock {
  now: number
  halfLife: number
}

/** Half-life of uses, in times that as much as the whole pool has left (docs/benchmarks.md, "Eviction"). */
export const MEMORY = 16

/** What a past count is worth now. */
export function decayed({ weight, lastUsed }: Usage, { now, halfLife }: Clock): number {
  return weight * 2 ** -((now - lastUsed) / halfLife)
}

/** After `uses` more, now. */
export function used(usage: Usage | undefined, uses: number, clock: Clock): Usage {
  return { weight: uses + (usage ? decayed(usage, clock) : 0), lastUsed: clock.now }
}

/** Twice the uses make 1.6 times the chance: part of what was used often was so by luck, or is over (docs/benchmarks.md, "Eviction"). */
const USES = 0.7

/**
 * In proportion to the chance that it is wanted in the next step. It falls no faster than age rises, so that a cost or a count can outweigh it. `odds`: how likely those that were used
 * so often are to be wanted again at all, from 0 to 1 (odds.ts).
 */
export function chance({ weight, lastUsed }: Usage, odds: number, now: number): number {
  return (odds * weight ** USES) / (Math.max(0, now - lastUsed) + 1)
}

/**
 * What is lost with something. Of several that could leave, that one does for which this is least for each block that its going frees; where several leave together, the sum of theirs.
 * `restoreMs`: estimated milliseconds to bring it back, bytes to copy or tokens to compute again.
 */
export function loss(usage: Usage, odds: number, restoreMs: number, now: number): number {
  return chance(usage, odds, now) * restoreMs
}
