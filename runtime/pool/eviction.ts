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

/** Something that could be lost. */
export interface Item extends Usage {
  /** Estimated milliseconds to bring it back: bytes to copy, or tokens to compute again. */
  restoreMs: number
}

/** Steps: the present one, and those in which a use counts half. */
export interface Clock {
  now: number
  halfLife: number
}

const E = JSON.parse(process.env.EV ?? '{}')
/** Half-life of uses, in times that the whole pool is evicted once. */
export const MEMORY = E.memory ?? 4

/** What a past count is worth now. */
export function decayed({ weight, lastUsed }: Usage, { now, halfLife }: Clock): number {
  return weight * 2 ** -((now - lastUsed) / halfLife)
}

/** After `uses` more, now. */
export function used(usage: Usage | undefined, uses: number, clock: Clock): Usage {
  return { weight: uses + (usage ? decayed(usage, clock) : 0), lastUsed: clock.now }
}

export function chance(usage: Usage, clock: Clock): number {
  const age = clock.now - usage.lastUsed
  if (E.f === 'crf') return decayed(usage, clock)
  const g = (E.g ?? 0) * (clock.halfLife === Number.POSITIVE_INFINITY ? 0 : clock.halfLife)
  if (E.f === 'mix') return decayed(usage, clock) / (age + 1 + g)
  return usage.weight ** (E.p ?? 1) / (age + 1 + g)
}

/** What losing all of these together costs for each of the `blocks` that are free then: the least leaves. */
export function worth(items: readonly Item[], blocks: number, clock: Clock): number {
  let loss = 0
  for (const item of items) loss += chance(item, clock) * item.restoreMs
  return loss / blocks
}
