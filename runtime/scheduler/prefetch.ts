/** Adapters of those that wait, brought in beside a step in flight. */
import { EngineError } from '../errors.ts'
import type { Kept, Pool } from '../pool/pool.ts'
import type { AdapterImage } from '../types.ts'
import { claimOf, claimsOf, fits, needOf, Room } from './need.ts'
import type { Waiting } from './queue.ts'
import type { Sequence } from './sequence.ts'

/** How many of those that wait have their adapters copied beside a step. */
const PREFETCHED = 4
/** How far down the queue resident adapters are kept from being put out for a prefetch. */
const SPARED = 64

export class Prefetch {
  private readonly pool: Pool
  private readonly limits: { prefixCache: boolean; copiesAside: boolean }
  private readonly images: ReadonlyMap<string, AdapterImage>

  constructor(pool: Pool, limits: { prefixCache: boolean; copiesAside: boolean }, images: ReadonlyMap<string, AdapterImage>) {
    this.pool = pool
    this.limits = limits
    this.images = images
  }

  /**
   * For the first of `waiting`: into what is free, and where copies are the device's own work also into blocks of what is idle. The latter only for those that
   * could be admitted beside `running`, and never at the expense of what one that waits will use.
   */
  run(waiting: Waiting, running: readonly Sequence[]): void {
    const first = waiting.first(PREFETCHED)
    for (const image of this.missing(first)) if (this.pool.adapters.hasRoom(image)) this.load(image)
    if (!this.limits.copiesAside || this.missing(first).size === 0) return
    const kept = this.spoken(waiting.first(SPARED))
    for (const image of this.admissible(first, running, kept)) {
      this.load(image, kept)
      kept.adapters.add(image.digest)
    }
  }

  /** Resident adapters that `sequences` will use. */
  private spoken(sequences: readonly Sequence[]): Kept {
    const kept: Kept = { adapters: new Set(), prefixes: new Set() }
    for (const { uses } of sequences) for (const { digest } of uses) if (this.pool.adapters.get(digest)) kept.adapters.add(digest)
    return kept
  }

  /** What is missing of those of `first` that could be admitted now, one after the other. Their cached prefixes come to what is `kept`. */
  private admissible(first: readonly Sequence[], running: readonly Sequence[], kept: Kept): Set<AdapterImage> {
    const { pool, images } = this
    const coming = new Set<AdapterImage>()
    let room = new Room(pool, claimsOf(running, pool.blockSize))
    for (const digest of kept.adapters) {
      const resident = pool.adapters.get(digest)
      if (resident?.references === 0) room.hold(resident)
    }
    for (const sequence of first) {
      const need = needOf(sequence, pool, images, this.limits.prefixCache, kept)
      need.missing = need.missing.filter((image) => !coming.has(image))
      if (!fits(need, room)) break
      for (const image of need.missing) coming.add(image)
      for (const block of need.prefix) kept.prefixes.add(block)
      room = room.beside(need)
      room.claimed += claimOf(sequence, pool.blockSize) - need.prefix.length
    }
    return coming
  }

  private missing(sequences: readonly Sequence[]): Set<AdapterImage> {
    const missing = new Set<AdapterImage>()
    for (const { uses } of sequences)
      for (const { digest } of uses) {
        const image = this.images.get(digest)
        if (image && !this.pool.adapters.get(digest)) missing.add(image)
      }
    return missing
  }

  /** Only what is free is used without `kept`. */
  private load(image: AdapterImage, kept?: Kept): void {
    const { adapters } = this.pool
    const before = adapters.loads
    try {
      adapters.load(image, this.pool.now, (wanted) => kept !== undefined && this.pool.evict(wanted, kept))
      adapters.prefetched += adapters.loads - before
    } catch (error) {
      // An image that the addon refuses is told when its sequence is admitted; the step in flight has no part in it.
      if (!(error instanceof EngineError)) throw error
    }
  }
}
