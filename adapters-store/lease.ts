/** What whoever holds adapters is told of them. */
import type { Adapter } from './adapter.ts'
import type { Lease } from './types.ts'

/** Of adapters that are in host memory. */
export const leaseOf = (adapters: readonly Adapter[], release: () => void): Lease => ({
  digests: adapters.map(({ digest }) => digest as string),
  texts: adapters.map(({ image }) => image?.text),
  heads: adapters.map(({ image }) => image?.head),
  maxRanks: adapters.map(({ image }) => image?.maxRank ?? 0),
  ranked: adapters.map(({ ranked = false }) => ranked),
  vocabSizes: adapters.map(({ image }) => image?.vocabSize),
  release,
})
