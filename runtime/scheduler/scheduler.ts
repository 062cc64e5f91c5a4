/**
 * Token-budgeted continuous batching. There is no prefill or decode phase: a sequence has tokens to compute, one or a thousand, and every step computes as many
 * as the budget allows (the idea is vLLM v1's). Pool and queue change only here; `plan` reserves, `commit` or `fail` ends what was planned.
 */

import type { EngineErrorCode } from '../errors.ts'
import type { Pool } from '../pool/pool.ts'
import type { AdapterImage } from '../types.ts'
import { Admission, type Limits } from './admission.ts'
import { WaitingQueue } from './queue.ts'
import { comesBefore, type Sequence } from './sequence.ts'

/** Steps that a sequence lets pass while its adapters are on their way; then the device waits for them. */
export const HOLD_LIMIT = 16
/** Sequences held back at once. More copies would only queue, and each takes the engine's thread to begin. */
export const HELD_AT_ONCE = 8

/** What a step does for one sequence. */
export interface Scheduled {
  sequence: Sequence
  /** The tokens at positions [from, from + count) are computed. */
  from: number
  count: number
  /** The prompt tokens after positions [scoreFrom, scoreFrom + scored) get their logprobs. */
  scoreFrom: number
  scored: number
  /** The token after the last one is sampled. */
  samples: boolean
}

export interface Plan {
  scheduled: Scheduled[]
  /** Sequences that cannot grow although they are alone. */
  outgrown: Sequence[]
  /** Sequences that went back to the queue. */
  preempted: Sequence[]
  /** Blocks are short, and nobody may be preempted while a step is in flight: the next plan wants none in flight. */
  blocked: boolean
  /** Sequences that cannot be admitted at all; they hold nothing. */
  refused: { sequence: Sequence; code: EngineErrorCode; reason: string }[]
}

/** A plan in the making. */
interface Draft extends Plan {
  /** Tokens that the step may still take. */
  budget: number
  /** A step is in flight. What it names must stay where it is: nobody is preempted, and nothing waits for the device. */
  inFlight: boolean
  /** Sequences that are held back. */
  held: number
}

export class Scheduler {
  readonly waiting = new WaitingQueue()
  /** Admitted, in order of service: the last is preempted first. */
  readonly running: Sequence[] = []
  preemptions = 0
  readonly admission: Admission
  private readonly pool: Pool
  private readonly limits: Limits

  constructor(pool: Pool, limits: Limits, images: ReadonlyMap<string, AdapterImage>) {
    this.pool = pool
    this.limits = limits
    this.admission = new Admission(pool, limits, images)
  }

  get empty(): boolean {
    return this.running.length === 0 && this.waiting.length === 0
  }

  add(sequence: Sequence): void {
    this.waiting.push(sequence)
  }

  /** What the next step computes; blocks for it are taken and adapters are in the pool. `inFlight`: the step before it is not over. */
  plan(inFlight = false): Plan {
    this.pool.now++
    const draft: Draft = {
      scheduled: [],
      outgrown: [],
      refused: [],
      budget: this.limits.maxBatchTokens,
      preempted: [],
      blocked: false,
      inFlight,
      held: 0,
    }
    for (let i = 0; i < this.running.length && draft.budget > 0; i++) {
      const sequence = this.running[i]
      if (this.resting(sequence)) continue
      if (sequence.heldFor === undefined || this.released(sequence)) this.serve(i, draft)
      else draft.held++
      if (draft.blocked) return draft
    }
    if (draft.preempted.length === 0) this.admit(draft)
    if (draft.scheduled.length === 0 && !inFlight) this.serveHeld(draft)
    return draft
  }

  /** It has ended, or surely will with the token that is being sampled. */
  private resting(sequence: Sequence): boolean {
    if (sequence.ended) return true
    const { maxTokens } = sequence.request.sampling
    return (
      sequence.pending > 0 &&
      (sequence.length - sequence.promptLength >= maxTokens || sequence.length >= this.limits.maxModelLen)
    )
  }

  /** Schedules running[i]; where blocks are short the latest goes back to the queue. */
  private serve(i: number, draft: Draft): void {
    const sequence = this.running[i]
    // A prompt in chunks leaves a token of the budget to each of those after it: nobody who decodes waits for it.
    const share = Math.max(1, draft.budget - (this.running.length - 1 - i))
    const count = Math.min(sequence.length - sequence.computed, share)
    while (!this.admission.reserve(sequence, sequence.computed + count)) {
      if (draft.inFlight) {
        draft.blocked = true
        return
      }
      const victim = this.running[this.running.length - 1]
      if (victim === sequence && i === 0) {
        draft.outgrown.push(sequence)
        return
      }
      this.preempt(victim)
      draft.preempted.push(victim)
      if (victim === sequence) return
    }
    this.schedule(sequence, count, draft)
  }

  private schedule(sequence: Sequence, count: number, draft: Draft): void {
    sequence.scheduledAt ??= Date.now()
    draft.scheduled.push(this.begin(sequence, count))
    draft.budget -= count
  }

  /** From here on the next `count` tokens are a step's. */
  begin(sequence: Sequence, count: number): Scheduled {
    const from = sequence.computed
    const end = from + count
    const samples = end === sequence.length
    // Row p scores token p + 1. After a preemption positions already scored are computed again, but not scored again.
    const scoreFrom = Math.max(from, sequence.scoredTo)
    const scored = sequence.promptLogprobs ? Math.max(0, Math.min(end, sequence.promptLength - 1) - scoreFrom) : 0
    sequence.scoredTo = scoreFrom + scored
    sequence.computed = end
    sequence.inFlight++
    if (samples) sequence.pending++
    return { sequence, from, count, scoreFrom, scored, samples }
  }

  /** The step is over. */
  landed({ sequence, samples }: Scheduled): void {
    sequence.inFlight--
    if (samples) sequence.pending--
  }

  /** The step is over and all it did is void. Of two steps the later one first. */
  undo({ sequence, from, scoreFrom, scored, samples }: Scheduled): void {
    sequence.inFlight--
    if (samples) sequence.pending--
    sequence.computed = from
    if (scored > 0) sequence.scoredTo = scoreFrom
  }

  private admit(draft: Draft): void {
    while (draft.budget > 0 && this.running.length < this.limits.maxSequences) {
      const full = draft.held >= HELD_AT_ONCE
      const sequence = this.waiting.next((s) => this.admission.costly(s) || (full && !this.arrived(s)))
      if (!sequence || (full && !this.arrived(sequence))) return
      let count = 0
      try {
        count = this.admission.enter(sequence, draft.budget, this.running.length)
      } catch (error) {
        const reason = `its adapter could not be brought into the pool: ${(error as Error).message}`
        draft.refused.push({ sequence, code: 'adapter_not_loadable', reason })
        this.waiting.remove(sequence)
        continue
      }
      if (count === 0) {
        if (this.running.length > 0) return
        // Alone in the pool, and still no room: waiting would not help.
        draft.refused.push({ sequence, code: 'pool_too_small', reason: 'the pool cannot hold it with its adapters (--pool)' })
        this.waiting.remove(sequence)
        continue
      }
      this.waiting.admit(sequence)
      this.insert(sequence)
      // Its adapters' bytes travel while the others compute; those behind it are not kept waiting.
      if (this.arrived(sequence)) this.schedule(sequence, count, draft)
      else {
        sequence.heldFor = 1
        draft.held++
      }
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
    for (let i = 0; i < this.running.length && draft.budget > 0; i++) {
      const sequence = this.running[i]
      if (sequence.heldFor === undefined || this.latestCopy(sequence) > latest) continue
      sequence.heldFor = undefined
      this.serve(i, draft)
    }
  }

  private latestCopy(sequence: Sequence): number {
    return Math.max(...sequence.uses.map((use) => this.pool.adapters.get(use.digest)?.generation ?? 0))
  }

  /** Has adapters of the first that wait copied beside the step in flight. */
  prefetch(): void {
    this.admission.prefetch(this.waiting.all(), this.running.length)
  }

  /** The first `computed` tokens lie in the cache: full blocks become findable. */
  register(sequence: Sequence, computed: number): void {
    if (!this.limits.prefixCache) return
    const { blockSize } = this.pool
    for (; (sequence.registered + 1) * blockSize <= computed; sequence.registered++)
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
    this.admission.leave(sequence)
  }

  private preempt(victim: Sequence): void {
    this.running.splice(this.running.indexOf(victim), 1)
    this.admission.leave(victim)
    victim.preemptions++
    this.preemptions++
    this.waiting.push(victim)
  }

  private insert(sequence: Sequence): void {
    let at = this.running.length
    while (at > 0 && comesBefore(sequence, this.running[at - 1])) at--
    this.running.splice(at, 0, sequence)
  }
}
