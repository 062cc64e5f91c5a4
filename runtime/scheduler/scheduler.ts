/**
 * Token-budgeted continuous batching. There is no prefill or decode phase: a sequence has tokens to compute, one or a thousand, and every step computes as many
 * as the budget allows (the idea is vLLM v1's). Pool and queue change only here; `plan` reserves, `commit` or `fail` ends what was planned.
 */

import { EngineError, type EngineErrorCode } from '../errors.ts'
import type { Pool } from '../pool/pool.ts'
import type { AdapterImage } from '../types.ts'
import { Admission, type Limits } from './admission.ts'
import { shareOut } from './budget.ts'
import { claimOf, claimsOf, fits } from './need.ts'
import { Prefetch } from './prefetch.ts'
import { WaitingQueue } from './queue.ts'
import { placeIn, type Sequence } from './sequence.ts'

/** Steps that a sequence lets pass while its adapters are on their way; then the device waits for them. */
export const HOLD_LIMIT = 16
/** Sequences held back at once. More copies would only queue, and each takes the engine's thread to begin. */
export const HELD_AT_ONCE = 8
/** Of those that wait, how many have their tokens set against those of the running prompts. */
const WEIGHED = 16

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

/** A plan in the making. */
interface Draft extends Plan {
  /** Tokens that the step may still take. */
  budget: number
  preempted: boolean
  /** Sequences that are held back. */
  held: number
}

export class Scheduler {
  readonly waiting = new WaitingQueue()
  /** Admitted, in order of service: the last is preempted first. */
  readonly running: Sequence[] = []
  preemptions = 0
  readonly admission: Admission
  private readonly prefetching: Prefetch
  private readonly pool: Pool
  private readonly limits: Limits
  private readonly longest: number

  constructor(pool: Pool, limits: Limits, images: ReadonlyMap<string, AdapterImage>) {
    this.pool = pool
    this.limits = limits
    this.admission = new Admission(pool, limits, images)
    this.prefetching = new Prefetch(pool, limits, images)
    this.longest = limits.longPrefillTokens || Math.ceil(limits.maxBatchTokens / 2)
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
    const draft: Draft = {
      scheduled: [],
      outgrown: [],
      refused: [],
      budget: this.limits.maxBatchTokens,
      preempted: false,
      held: 0,
    }
    const ready = this.running.filter((sequence) => sequence.heldFor === undefined || this.released(sequence))
    draft.held = this.running.length - ready.length
    const weighed = this.running.length < this.limits.maxSequences ? this.waiting.first(WEIGHED) : []
    const shares = shareOut(ready, weighed, draft.budget, this.longest)
    this.serve(ready, shares, draft)
    if (!draft.preempted) this.admit(draft, new Map(weighed.map((sequence, i) => [sequence, shares[ready.length + i]])))
    if (draft.scheduled.length === 0) this.serveAll(ready, draft)
    if (draft.scheduled.length === 0) this.serveHeld(draft)
    this.fill(ready, draft)
    return draft
  }

  /** Schedules each of `ready` with its share, once there is room for all that is left of them. Nothing is scheduled yet. */
  private serve(ready: readonly Sequence[], shares: Int32Array, draft: Draft): void {
    this.makeRoom(ready, shares, draft)
    for (const [i, sequence] of ready.entries()) {
      if (shares[i] === 0 || !this.goesOn(sequence, draft)) continue
      if (!this.admission.grow(sequence, shares[i])) throw new Error('the pool has less room than it said')
      this.schedule(sequence, shares[i], draft)
    }
  }

  /** Where blocks are short for `ready`, the latest go back to the queue until they suffice. Whether they are is known before anything is undone or taken. */
  private makeRoom(ready: readonly Sequence[], shares: Int32Array, draft: Draft): void {
    let lacking = 0
    for (const [i, sequence] of ready.entries()) lacking += this.admission.lacks(sequence, shares[i])
    let last = ready.length - 1
    while (lacking > this.pool.available()) {
      const victim = this.running[this.running.length - 1]
      if (ready[last] === victim) lacking -= this.admission.lacks(victim, shares[last--])
      if (this.running.length === 1) {
        draft.outgrown.push(victim)
        return
      }
      this.preempt(victim)
      draft.preempted = true
    }
  }

  private goesOn(sequence: Sequence, draft: Draft): boolean {
    return sequence.state === 'running' && !draft.outgrown.includes(sequence)
  }

  /** Those of a better priority for whom the step was kept could not be admitted. */
  private serveAll(ready: readonly Sequence[], draft: Draft): void {
    const left = ready.filter((sequence) => this.goesOn(sequence, draft))
    this.serve(left, shareOut(left, [], draft.budget, this.longest), draft)
  }

  private schedule(sequence: Sequence, count: number, draft: Draft): void {
    sequence.scheduledAt ??= Date.now()
    draft.scheduled.push({ sequence, count })
    draft.budget -= count
  }

  /** What is left of the budget goes to those who can use it: a long prompt alone gets all of it. Nobody is put back for that. */
  private fill(ready: readonly Sequence[], draft: Draft): void {
    for (const item of draft.scheduled) {
      const more = Math.min(item.sequence.remaining - item.count, draft.budget)
      if (more === 0 || !this.admission.grow(item.sequence, item.count + more)) continue
      item.count += more
      draft.budget -= more
    }
    if (draft.budget === 0 || draft.scheduled.length >= ready.length) return
    const scheduled = new Set(draft.scheduled.map((item) => item.sequence))
    for (const sequence of ready) {
      if (scheduled.has(sequence) || !this.goesOn(sequence, draft)) continue
      const count = Math.min(sequence.remaining, draft.budget)
      if (count > 0 && this.admission.grow(sequence, count)) this.schedule(sequence, count, draft)
    }
  }

  private admit(draft: Draft, shares: ReadonlyMap<Sequence, number>): void {
    let claimed = claimsOf(this.running, this.pool.blockSize)
    while (draft.budget > 0 && this.running.length < this.limits.maxSequences) {
      const full = draft.held >= HELD_AT_ONCE
      const sequence = this.waiting.next((s) => this.admission.costly(s) || (full && !this.arrived(s)))
      if (!sequence || (full && !this.arrived(sequence))) return
      const need = this.admission.need(sequence)
      if (!fits(need, { available: this.pool.available(), claimed })) {
        if (this.running.length > 0) return
        // Alone in the pool, and still no room: waiting would not help.
        this.waiting.remove(sequence)
        if (sequence.outputLength > 0) draft.outgrown.push(sequence)
        else
          draft.refused.push({ sequence, code: 'pool_too_small', reason: 'the pool cannot hold it with its adapters (--pool)' })
        continue
      }
      const share = Math.min(Math.max(1, shares.get(sequence) ?? this.longest), draft.budget)
      let count: number
      try {
        count = this.admission.take(sequence, need, share)
      } catch (error) {
        if (!(error instanceof EngineError)) throw error
        this.waiting.remove(sequence)
        draft.refused.push({ sequence, code: error.code, reason: error.message })
        continue
      }
      this.enter(sequence, count, draft)
      claimed += claimOf(sequence, this.pool.blockSize)
    }
  }

  private enter(sequence: Sequence, count: number, draft: Draft): void {
    this.waiting.admit(sequence)
    this.running.splice(placeIn(this.running, sequence), 0, sequence)
    sequence.state = 'running'
    // Its adapters' bytes travel while the others compute; those behind it are not kept waiting.
    if (this.arrived(sequence)) this.schedule(sequence, count, draft)
    else {
      sequence.heldFor = 1
      draft.held++
    }
  }

  private arrived(sequence: Sequence): boolean {
    return sequence.uses.every((use) => this.pool.adapters.ready(use.digest))
  }

  /** Whether one that is held back goes on in this step. */
  private released(sequence: Sequence): boolean {
    const steps = sequence.heldFor as number
    const released = steps >= HOLD_LIMIT || this.arrived(sequence)
    sequence.heldFor = released ? undefined : steps + 1
    return released
  }

  /** Nothing else can run: the device waits for the adapters of the first that is held back, and who waits for no later ones comes along. */
  private serveHeld(draft: Draft): void {
    const first = this.running.find((sequence) => sequence.heldFor !== undefined)
    if (!first) return
    // Copies arrive in the order in which they were begun.
    const latest = this.latestCopy(first)
    const along = this.running.filter((sequence) => sequence.heldFor !== undefined && this.latestCopy(sequence) <= latest)
    for (const sequence of along) sequence.heldFor = undefined
    this.serve(along, shareOut(along, [], draft.budget, this.longest), draft)
  }

  private latestCopy(sequence: Sequence): number {
    let latest = 0
    for (const use of sequence.uses) latest = Math.max(latest, this.pool.adapters.get(use.digest)?.generation ?? 0)
    return latest
  }

  /** Has adapters of the first that wait copied beside the step in flight. */
  prefetch(): void {
    this.prefetching.run(this.waiting, this.running)
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
    if (sequence.state === 'waiting') this.waiting.remove(sequence)
    else if (sequence.state === 'running') {
      this.running.splice(placeIn(this.running, sequence), 1)
      this.admission.leave(sequence)
    }
    sequence.state = 'ended'
  }

  private preempt(victim: Sequence): void {
    this.running.pop()
    this.admission.leave(victim)
    victim.state = 'waiting'
    victim.preemptions++
    this.preemptions++
    this.waiting.push(victim)
  }
}
