/**
 * Token-budgeted continuous batching. There is no prefill or decode phase: a sequence has tokens to compute, one or a thousand, and every step computes as many
 * as the budget allows (the idea is vLLM v1's). Pool and queue change only here; `plan` reserves, `commit` or `fail` ends what was planned.
 */

import type { EngineErrorCode } from '../errors.ts'
import type { Pool } from '../pool/pool.ts'
import type { AdapterImage, AdapterUse } from '../types.ts'
import { WaitingQueue } from './queue.ts'
import { comesBefore, type Sequence } from './sequence.ts'

export interface Limits {
  maxBatchTokens: number
  maxSequences: number
  prefixCache: boolean
}

/** `count` tokens of `sequence` from `sequence.computed` on. */
export interface Scheduled {
  sequence: Sequence
  count: number
}

export interface Plan {
  scheduled: Scheduled[]
  /** Sequences that cannot grow although they are alone. */
  outgrown: Sequence[]
  /** Sequences that cannot be admitted at all; they hold nothing. */
  refused: { sequence: Sequence; code: EngineErrorCode; reason: string }[]
}

export class Scheduler {
  readonly waiting = new WaitingQueue()
  /** In order of service: the last is preempted first. */
  readonly running: Sequence[] = []
  preemptions = 0
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

  get empty(): boolean {
    return this.running.length === 0 && this.waiting.length === 0
  }

  add(sequence: Sequence): void {
    this.waiting.push(sequence)
  }

  /** What the next step computes; blocks for it are taken and adapters are in the pool. */
  plan(): Plan {
    this.pool.now++
    const scheduled: Scheduled[] = []
    const outgrown: Sequence[] = []
    const refused: Plan['refused'] = []
    let budget = this.limits.maxBatchTokens
    let preempted = false
    for (let i = 0; i < this.running.length && budget > 0; i++) {
      const sequence = this.running[i]
      // A prompt in chunks leaves a token of the budget to each of those after it: nobody who decodes waits for it.
      const share = Math.max(1, budget - (this.running.length - 1 - i))
      const count = Math.min(sequence.tokens.length - sequence.computed, share)
      while (!this.reserve(sequence, sequence.computed + count)) {
        const victim = this.running[this.running.length - 1]
        if (victim === sequence && i === 0) {
          outgrown.push(sequence)
          break
        }
        this.preempt(victim)
        preempted = true
        if (victim === sequence) break
      }
      if (outgrown.includes(sequence) || this.running[i] !== sequence) continue
      scheduled.push({ sequence, count })
      budget -= count
    }
    if (!preempted) this.admit(scheduled, refused, budget)
    return { scheduled, outgrown, refused }
  }

  private admit(scheduled: Scheduled[], refused: Plan['refused'], tokens: number): void {
    let budget = tokens
    while (budget > 0 && this.running.length < this.limits.maxSequences) {
      const sequence = this.waiting.next((s) => this.costly(s))
      if (!sequence) return
      let count = 0
      try {
        count = this.enter(sequence, budget)
      } catch (error) {
        const reason = `its adapter could not be brought into the pool: ${(error as Error).message}`
        refused.push({ sequence, code: 'adapter_not_loadable', reason })
        this.waiting.remove(sequence)
        continue
      }
      if (count === 0) {
        if (this.running.length > 0) return
        // Alone in the pool, and still no room: waiting would not help.
        refused.push({ sequence, code: 'pool_too_small', reason: 'the pool cannot hold it with its adapters (--pool)' })
        this.waiting.remove(sequence)
        continue
      }
      this.waiting.admit(sequence)
      this.insert(sequence)
      scheduled.push({ sequence, count })
      budget -= count
    }
  }

  /** Brings in the adapters of the first that wait, as far as free blocks go: the copy runs beside a step in flight. */
  prefetch(limit = 4): void {
    for (const sequence of this.waiting.all().slice(0, limit))
      for (const use of sequence.uses) {
        const image = this.images.get(use.digest)
        if (!image || this.pool.adapters.get(use.digest) || image.blocks > this.pool.blocks.free) continue
        try {
          this.pool.adapters.load(image, this.pool.now, () => false)
        } catch {
          // An image that the addon refuses is told when its sequence is admitted; the step in flight has no part in it.
        }
      }
  }

  /** The step computed `count` tokens of the sequence: full blocks become findable. */
  advance(sequence: Sequence, count: number): void {
    sequence.computed += count
    if (!this.limits.prefixCache) return
    const { blockSize } = this.pool
    for (; (sequence.registered + 1) * blockSize <= sequence.computed; sequence.registered++)
      this.pool.prefixes.register(
        sequence.blocks[sequence.registered],
        sequence.hash(sequence.registered, blockSize),
        sequence.adapterKey,
      )
  }

  /** Ends a sequence, waiting or running: all that it held goes back. */
  finish(sequence: Sequence): void {
    if (this.waiting.remove(sequence)) return
    const at = this.running.indexOf(sequence)
    if (at < 0) return
    this.running.splice(at, 1)
    this.leave(sequence)
  }

  /** Frees blocks and the references on `uses`; the KV of what stays registered can be found again. */
  private leave(sequence: Sequence, uses: readonly AdapterUse[] = sequence.uses): void {
    // The chain's end leaves the cache first: a prefix is of no use without what comes before it.
    for (let i = sequence.blocks.length - 1; i >= 0; i--) this.pool.prefixes.release(sequence.blocks[i], this.pool.now)
    sequence.blocks = []
    sequence.registered = 0
    sequence.computed = 0
    for (const use of uses) this.pool.adapters.release(use.digest, this.pool.now)
  }

  private preempt(victim: Sequence): void {
    this.running.splice(this.running.indexOf(victim), 1)
    this.leave(victim)
    victim.preemptions++
    this.preemptions++
    this.waiting.push(victim)
  }

  private insert(sequence: Sequence): void {
    let at = this.running.length
    while (at > 0 && comesBefore(sequence, this.running[at - 1])) at--
    this.running.splice(at, 0, sequence)
  }

  /** Blocks for the first `length` tokens. False, and nothing taken, when the pool is short. */
  private reserve(sequence: Sequence, length: number): boolean {
    const missing = Math.ceil(length / this.pool.blockSize) - sequence.blocks.length
    if (missing <= 0) return true
    const blocks = this.pool.allocateKv(missing)
    if (!blocks) return false
    sequence.blocks.push(...blocks)
    return true
  }

  /** Whether admitting it now would displace something for its adapters. */
  private costly(sequence: Sequence): boolean {
    let missing = 0
    for (const use of sequence.uses) if (!this.pool.adapters.get(use.digest)) missing += this.images.get(use.digest)?.blocks ?? 0
    return missing > this.pool.blocks.free
  }

  /**
   * Takes adapters, cached prefix and blocks for a first chunk. Returns the chunk's tokens; 0 when there is no room, and then nothing is kept and nothing was
   * put out. Throws, nothing kept either, when the addon refuses an adapter.
   */
  private enter(sequence: Sequence, budget: number): number {
    const { pool } = this
    // What is there already is held first, so that bringing in the rest does not put it out.
    const held = sequence.uses.filter((use) => pool.adapters.get(use.digest))
    for (const use of held) pool.adapters.acquire(use.digest, pool.now)
    this.matchPrefix(sequence)
    const missing = new Set(
      sequence.uses.filter((use) => !held.includes(use)).map((use) => this.images.get(use.digest) as AdapterImage),
    )
    if (!this.hasRoom(sequence, missing)) {
      this.leave(sequence, held)
      return 0
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
    const count = Math.min(sequence.tokens.length - sequence.computed, budget)
    if (!this.reserve(sequence, sequence.computed + count)) throw new Error('the pool has less room than it said')
    if (sequence.cachedTokens === undefined) {
      sequence.cachedTokens = sequence.computed
      this.prefixQueries += sequence.promptLength
      this.prefixHits += sequence.computed
    }
    sequence.scheduledAt ??= Date.now()
    return count
  }

  /**
   * Room for all its tokens, not the first chunk alone, for its missing adapters, and for one more block for each of those that run: else a later step would
   * throw away what this one begins. When nothing runs, all may be used.
   */
  private hasRoom(sequence: Sequence, missing: Iterable<AdapterImage>): boolean {
    let needed = Math.ceil(sequence.tokens.length / this.pool.blockSize) - sequence.blocks.length + this.running.length
    for (const image of missing) needed += image.blocks
    return needed <= this.pool.available()
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
