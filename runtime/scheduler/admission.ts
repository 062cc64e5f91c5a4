/** What a sequence takes before its first token can be computed: its adapters, the prefix that is cached, blocks for its tokens. All of it or nothing. */
import type { Pool } from '../pool/pool.ts'
import type { AdapterImage, AdapterUse } from '../types.ts'
import type { Sequence } from './sequence.ts'

export interface Limits {
  maxBatchTokens: number
  maxSequences: number
  maxModelLen: number
  prefixCache: boolean
  /** Adapters' bytes travel by the device's own means, beside a step (CUDA). Else the engine's thread copies them. */
  copiesAside: boolean
}

/** How many of those that wait have their adapters copied beside a step. */
const PREFETCHED = 4
/** How far down the queue resident adapters are kept from being put out for a prefetch. */
const SPARED = 64

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
    let missing = 0
    for (const use of sequence.uses) if (!this.pool.adapters.get(use.digest)) missing += this.images.get(use.digest)?.blocks ?? 0
    return missing > this.pool.blocks.free
  }

  /**
   * Takes adapters, cached prefix and blocks for a first chunk, beside `running` others. Returns the chunk's tokens; 0 when there is no room, and then nothing
   * is kept and nothing was put out. Throws, nothing kept either, when the addon refuses an adapter.
   */
  enter(sequence: Sequence, budget: number, running: number): number {
    if (!this.gather(sequence, running)) return 0
    const count = Math.min(sequence.tokens.length - sequence.computed, budget)
    if (!this.reserve(sequence, sequence.computed + count)) throw new Error('the pool has less room than it said')
    if (sequence.cachedTokens === undefined) {
      sequence.cachedTokens = sequence.computed
      this.prefixQueries += sequence.promptLength
      this.prefixHits += sequence.computed
    }
    return count
  }

  /** Blocks for the first `length` tokens. False, and nothing taken, when the pool is short. */
  reserve(sequence: Sequence, length: number): boolean {
    const missing = Math.ceil(length / this.pool.blockSize) - sequence.blocks.length
    if (missing <= 0) return true
    const blocks = this.pool.allocateKv(missing)
    if (!blocks) return false
    sequence.blocks.push(...blocks)
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

  /**
   * Brings in the adapters of the first of `queue`, beside a step in flight: into free blocks, and where copies are the device's own work also into blocks of what
   * is idle. The latter only for those that could be admitted beside the `running` others, and never at the expense of what one that waits will use.
   */
  prefetch(queue: readonly Sequence[], running: number): void {
    const first = queue.slice(0, PREFETCHED)
    for (const sequence of first)
      for (const use of sequence.uses) {
        const image = this.images.get(use.digest)
        if (!image || this.pool.adapters.get(use.digest) || image.blocks > this.pool.blocks.free) continue
        try {
          this.pool.adapters.load(image, this.pool.now, () => false)
        } catch {
          // An image that the addon refuses is told when its sequence is admitted; the step in flight has no part in it.
        }
      }
    if (this.limits.copiesAside && first.some((sequence) => this.missing(sequence).size > 0)) this.rehearse(first, queue, running)
  }

  /** Admits in order as far as there is room, keeps the adapters that came in, and gives everything else back. */
  private rehearse(first: readonly Sequence[], queue: readonly Sequence[], running: number): void {
    const { adapters, now } = this.pool
    const spared = queue.slice(0, SPARED).flatMap((sequence) => sequence.uses.filter((use) => adapters.get(use.digest)))
    for (const use of spared) adapters.acquire(use.digest, now)
    const gathered: Sequence[] = []
    // Blocks for the tokens of those before: they would be taken, but are not.
    let claimed = 0
    try {
      for (const sequence of first) {
        if (!this.gather(sequence, running + gathered.length, claimed)) break
        gathered.push(sequence)
        claimed += this.tokenBlocks(sequence)
      }
    } catch {
      // As above.
    }
    for (const sequence of gathered.reverse()) this.leave(sequence)
    for (const use of spared) adapters.release(use.digest, now)
  }

  /** Its adapters, referenced, and its cached prefix. False, and nothing kept or put out, when there is no room for it beside `running` others. */
  private gather(sequence: Sequence, running: number, claimed = 0): boolean {
    const { pool } = this
    // What is there already is held first, so that bringing in the rest does not put it out.
    const held = sequence.uses.filter((use) => pool.adapters.get(use.digest))
    for (const use of held) pool.adapters.acquire(use.digest, pool.now)
    this.matchPrefix(sequence)
    if (!this.hasRoom(sequence, running, claimed)) {
      this.leave(sequence, held)
      return false
    }
    const entered = [...held]
    try {
      for (const use of sequence.uses) {
        if (held.includes(use)) continue
        const image = this.images.get(use.digest) as AdapterImage
        if (!pool.adapters.load(image, pool.now, pool.evictOne)) throw new Error('the pool has less room than it said')
        // Held at once: the next one of a mix must not put it out.
        pool.adapters.acquire(use.digest, pool.now)
        entered.push(use)
      }
    } catch (error) {
      this.leave(sequence, entered)
      throw error
    }
    return true
  }

  /**
   * Room for all its tokens, not the first chunk alone, for its missing adapters, and for one more block for each of those that run: else a later step would
   * throw away what this one begins. When nothing runs, all may be used.
   */
  private hasRoom(sequence: Sequence, running: number, claimed: number): boolean {
    let needed = claimed + running + this.tokenBlocks(sequence)
    for (const image of this.missing(sequence)) needed += image.blocks
    return needed <= this.pool.available()
  }

  /** Blocks that its tokens need beyond those it has. */
  private tokenBlocks(sequence: Sequence): number {
    return Math.ceil(sequence.tokens.length / this.pool.blockSize) - sequence.blocks.length
  }

  private missing(sequence: Sequence): Set<AdapterImage> {
    const missing = new Set<AdapterImage>()
    for (const use of sequence.uses)
      if (!this.pool.adapters.get(use.digest)) missing.add(this.images.get(use.digest) as AdapterImage)
    return missing
  }

  /** The longest cached chain of full blocks; at least the last token is computed, since its logits are wanted. */
  private matchPrefix(sequence: Sequence): void {
    if (!this.limits.prefixCache || sequence.request.sampling.promptLogprobs >= 0) return
    const { blockSize, prefixes } = this.pool
    const most = Math.floor((sequence.tokens.length - 1) / blockSize)
    for (let i = 0; i < most; i++) {
      const block = prefixes.find(sequence.hash(i, blockSize))
      if (block === undefined) return
      prefixes.acquire(block)
      sequence.blocks.push(block)
      sequence.registered = i + 1
      sequence.computed = (i + 1) * blockSize
    }
  }
}
