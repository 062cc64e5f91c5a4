/** How far a request's adapters reach: with how many ranks, from which position on they act, and whose K and V lie in the cache. */
import type { AdapterImage, AdapterUse } from '../types.ts'

/** What of an image decides that. */
export type Reaching = Pick<AdapterImage, 'invocationTokens' | 'sparesCache' | 'maxRank'>

export interface Reach {
  /** Those that act at all. */
  adapters: AdapterUse[]
  /** The first position at which they act; absent: 0. */
  adaptersFrom?: number
  /** The first position whose K and V they change; absent: as `adaptersFrom`. Infinity: none, the whole cache is the base's. */
  cachedFrom?: number
}

/**
 * As PEFT has it (tuners/lora/variants.py, calculate_alora_offsets): an aLoRA acts from the start of the last occurrence of its invocation tokens in the prompt on, and in all that is
 * generated; where they do not occur, not at all, whatever is generated. `imageOf` must know each of `uses`.
 */
export function reachOf(promptIds: ArrayLike<number>, uses: AdapterUse[], imageOf: (digest: string) => Reaching): Reach {
  const images = uses.map(({ digest }) => imageOf(digest))
  // At its full rank an adapter is itself: the same bits, and the same cached prefixes.
  const adapters = uses.map(({ rank, ...use }, i) => (rank === undefined || rank >= images[i].maxRank ? use : { ...use, rank }))
  const spared = images.length > 0 && images.every((image) => image.sparesCache)
  const cachedFrom = spared ? { cachedFrom: Number.POSITIVE_INFINITY } : {}
  // The engine takes one that has them alone only.
  const tokens = images[0]?.invocationTokens
  if (!tokens) return { adapters, ...cachedFrom }
  const from = lastOccurrence(promptIds, tokens)
  return from < 0 ? { adapters: [] } : { adapters, adaptersFrom: from, ...cachedFrom }
}

/** Where `tokens` begin for the last time among `ids`; −1: nowhere. */
export function lastOccurrence(ids: ArrayLike<number>, tokens: readonly number[]): number {
  for (let at = ids.length - tokens.length; at >= 0; at--) {
    let same = 0
    while (same < tokens.length && ids[at + same] === tokens[same]) same++
    if (same === tokens.length) return at
  }
  return -1
}
