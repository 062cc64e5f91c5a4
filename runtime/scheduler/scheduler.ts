/**
 * Token-budgeted continuous batching. There is no prefill or decode phase: a sequence has tokens to compute, one or a thousand, and every step computes as many
 * as the budget allows (the idea is vLLM v1's). Pool and queue change only here; `plan` reserves, `commit` or `fail` ends what was planned.
 */
import type { AdapterImage } from '../../adapters-store/types.ts'
import type { Pool } from '../pool/pool.ts'
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
  refused: { sequence: Sequence; reason: string }[]
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
      const count = Math.min(sequence.tokens.length - sequence.computed, budget)
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
        refused.push({ sequence, reason: `its adapter could not be brought into the pool: ${(error as Error).message}` })
        this.waiting.remove(sequence)
        continue
      }
      if (count === 0) {
        if (this.running.length > 0) return
        // Alone in the pool, and still no room: waiting would not help.
        refused.push({ sequence, reason: 'the pool cannot hold it with its adapters (--pool)' })
        this.waiting.remove(sequence)
        continue
      }
      this.waiting.admit(sequence)
      this.insert(sequence)
      scheduled.push({ sequence, count })
      budget -= count
    }
  }

  /** Brings in the adapters of the sequences that wait, as far as free blocks go: the copy runs beside a step in flight. */
  prefetch(limit = 4): void {
    for (const sequence of this.waiting.all().slice(0, limit))
      for (const use of sequence.request.adapters) {
        const image = this.images.get(use.digest)
        if (image && !this.pool.adapters.get(use.digest) && image.blocks <= this.pool.blocks.free)
          this.pool.adapters.load(image, this.pool.now, () => false)
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

  /** Frees blocks and adapter references; the KV of what stays registered can be found again. */
  private leave(sequence: Sequence): void {
    // The chain's end leaves the cache first: a prefix is of no use without what comes before it.
    for (let i = sequence.blocks.length - 1; i >= 0; i--) this.pool.prefixes.release(sequence.blocks[i], this.pool.now)
    sequence.blocks = []
    sequence.registered = 0
    sequence.computed = 0
    for (const use of sequence.request.adapters) this.pool.adapters.release(use.digest, this.pool.now)
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
    for (const use of sequence.request.adapters)
      if (!this.pool.adapters.get(use.digest)) missing += this.images.get(use.digest)?.blocks ?? 0
    return missing > this.pool.blocks.free
  }

  /** Takes adapters, cached prefix and blocks for a first chunk. Returns the chunk's tokens; 0 when there is no room, and then nothing is kept. */
  private enter(sequence: Sequence, budget: number): number {
    const { pool } = this
    const taken: string[] = []
    const rollBack = () => {
      for (const digest of taken) pool.adapters.release(digest, pool.now)
      for (const block of sequence.blocks) pool.prefixes.release(block, pool.now)
      sequence.blocks = []
      sequence.registered = 0
      sequence.computed = 0
      return 0
    }
    try {
      for (const { digest } of sequence.request.adapters) {
        const image = this.images.get(digest) as AdapterImage
        if (!pool.adapters.get(digest) && image.blocks > pool.available()) return rollBack()
        if (!pool.adapters.load(image, pool.now, pool.evictOne)) return rollBack()
        pool.adapters.acquire(digest, pool.now)
        taken.push(digest)
      }
    } catch (error) {
      rollBack()
      throw error
    }
    this.matchPrefix(sequence)
    const count = Math.min(sequence.tokens.length - sequence.computed, budget)
    // Room for one more block each of those that run, lest the next step preempt what this one admits; alone, all may be used.
    const needed = Math.ceil((sequence.computed + count) / pool.blockSize) - sequence.blocks.length
    if (this.running.length > 0 && needed + this.running.length > pool.available()) return rollBack()
    if (!this.reserve(sequence, sequence.computed + count)) return rollBack()
    if (sequence.cachedTokens === undefined) {
      sequence.cachedTokens = sequence.computed
      this.prefixQueries += sequence.promptLength
      this.prefixHits += sequence.computed
    }
    sequence.scheduledAt ??= Date.now()
    return count
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
