/** What a sequence holds from its admission on: adapters, the prefix that was cached, blocks for its tokens. All of it or nothing. */
import type { Pool } from '../pool/pool.ts'
import type { AdapterImage, AdapterUse } from '../types.ts'
import { type Need, needOf, sizeOf } from './need.ts'
import type { Sequence } from './sequence.ts'

export interface Limits {
  maxBatchTokens: number
  maxSequences: number
  maxModelLen: number
  prefixCache: boolean
  /** Adapters' bytes travel by the device's own means, beside a step (CUDA). Else the engine's thread copies them. */
  copiesAside: boolean
  /** Tokens of a step that one prompt takes at most while others could use them (budget.ts). Absent or 0: half of maxBatchTokens. */
  longPrefillTokens?: number
  /** Tokens that a step drafts for a sequence at most (speculation.ts). Absent or 0: none. */
  draftTokens?: number
  /** Whoever has been served least is next (fairness.ts); else whoever is due first. */
  fair?: boolean
  /** Adapters that run from which on requests of others may be passed by (S-LoRA's adapter clustering). Absent or 0: none. */
  adapterCluster?: number
  /** Milliseconds since epoch; Date.now if absent. */
  clock?: () => number
  /** Milliseconds that a step takes at most with prompts beside sequences that decode, as far as can be predicted. Absent or 0: as long as it takes. */
  maxStepMs?: number
}

/** Rows of logits that a step has for scoring prompts when its sequences are as many as may be. */
const SCORED_ROWS = 128

/**
 * Rows of logits that a step has at most: one for each sequence, which samples, and those of prompts that are scored, whose chunks are cut to what is left. A row
 * per token of a chunk of 2,048 would be 1.2 GB for a vocabulary of 152k, outside what the pool was sized with; this is 233 MB with 256 sequences.
 */
export function maxLogitsRows(maxSequences: number): number {
  return maxSequences + SCORED_ROWS
}

export class Admission {
  prefixQueries = 0
  prefixHits = 0
  private readonly pool: Pool
  private readonly limits: Limits
  /** Host tier: the images of a sequence's adapters by digest. */
  private readonly images: ReadonlyMap<string, AdapterImage>

  constructor(pool: Pool, limits: Limits, images: ReadonlyMap<string, AdapterImage>) {
    this.pool = pool
    this.limits = limits
    this.images = images
  }

  /** Whether admitting it now would displace something for its adapters. */
  costly(sequence: Sequence): boolean {
    const missing = new Set<AdapterImage>()
    for (const { digest } of sequence.uses) {
      const image = this.images.get(digest)
      if (image && !this.pool.adapters.get(digest)) missing.add(image)
    }
    return !this.pool.adapters.hasRoom(sizeOf(missing))
  }

  need(sequence: Sequence): Need {
    return needOf(sequence, this.pool, this.images, this.limits.prefixCache)
  }

  /**
   * Takes what it needs, which must fit, and blocks for a first chunk of at most `budget` tokens; returns the chunk's. Throws an EngineError, and nothing is
   * kept, when the addon refuses an adapter. `claimed`: blocks that others will still take.
   */
  take(sequence: Sequence, need: Need, budget: number, claimed = 0): number {
    const { pool } = this
    const { adapters, prefixes, now } = pool
    // What is there already is held first, so that bringing in the rest does not put it out.
    const held = sequence.uses.filter((use) => adapters.get(use.digest))
    for (const use of held) adapters.acquire(use.digest, now)
    for (const block of need.prefix) {
      prefixes.acquire(block)
      sequence.blocks.push(block)
    }
    sequence.registered = need.prefix.length
    sequence.computed = need.prefix.length * pool.blockSize
    try {
      for (const [i, image] of need.missing.entries()) {
        const later = sizeOf(need.missing.slice(i + 1))
        const reserved = claimed + need.tokenBlocks + later.blocks + Math.ceil(later.frames / adapters.frames.perBlock)
        if (!adapters.load(image, now, pool.evict, () => pool.available() - reserved))
          throw new Error('the pool has less room than it said')
        // Held at once: the next one of a mix must not put it out.
        for (const use of sequence.uses) {
          if (use.digest !== image.digest) continue
          adapters.acquire(use.digest, now)
          held.push(use)
        }
      }
    } catch (error) {
      this.leave(sequence, held)
      throw error
    }
    sequence.loads = sequence.uses.flatMap((use) => adapters.get(use.digest) ?? [])
    const count = Math.min(sequence.remaining, budget)
    if (!this.grow(sequence, count)) throw new Error('the pool has less room than it said')
    if (sequence.cachedTokens === undefined) {
      sequence.cachedTokens = sequence.computed
      this.prefixQueries += sequence.promptLength
      this.prefixHits += sequence.computed
    }
    return count
  }

  /** Whether the adapters of one that runs share more blocks than they fill. */
  scattered({ uses }: Sequence): boolean {
    const { adapters } = this.pool
    const blocks = new Set<number>()
    let frames = 0
    for (const digest of new Set(uses.map((use) => use.digest))) {
      const resident = adapters.get(digest)
      for (const { block } of resident?.pieces ?? []) blocks.add(block)
      frames += resident?.frames.length ?? 0
    }
    return blocks.size > Math.ceil(frames / adapters.frames.perBlock)
  }

  /** Blocks that it lacks for its next `count` tokens. */
  lacks(sequence: Sequence, count: number): number {
    return sequence.blocksFor(sequence.computed + count, this.pool.blockSize)
  }

  /** Takes the blocks for its next `count` tokens. False, and nothing taken, when the pool is short. */
  grow(sequence: Sequence, count: number): boolean {
    const missing = this.lacks(sequence, count)
    if (missing === 0) return true
    const blocks = this.pool.allocateKv(missing)
    if (!blocks) return false
    for (const block of blocks) sequence.blocks.push(block)
    return true
  }

  /** Frees blocks and the references on `uses`; the KV of what stays registered can be found again. */
  leave(sequence: Sequence, uses: readonly AdapterUse[] = sequence.uses): void {
    // The chain's end leaves the cache first: a prefix is of no use without what comes before it.
    for (let i = sequence.blocks.length - 1; i >= 0; i--) this.pool.prefixes.release(sequence.blocks[i], this.pool.now)
    sequence.blocks = []
    sequence.registered = 0
    sequence.computed = 0
    sequence.heldFor = undefined
    for (const use of uses) this.pool.adapters.release(use.digest, this.pool.now)
  }
}
