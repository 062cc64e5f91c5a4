/**
 * Token-budgeted continuous batching. There is no prefill or decode phase: a sequence has tokens to compute, one or a thousand, and every step computes as many
 * as the budget allows (the idea is vLLM v1's). Pool and queue change only here: `plan` reserves and begins what a step will do, `landed` or `undo` ends that, and `finish` a sequence.
 */

import { EngineError } from '../errors.ts'
import type { Pool } from '../pool/pool.ts'
import type { AdapterImage } from '../types.ts'
import { Admission, type Limits, maxLogitsRows } from './admission.ts'
import { arrived, HELD_AT_ONCE, readyOf, releaseFirst } from './arrivals.ts'
import { type Allowance, shareOut, type Wish } from './budget.ts'
import { Draft, type Plan } from './draft.ts'
import { FairQueue } from './fair-queue.ts'
import { Fairness } from './fairness.ts'
import { FirstTokens, type Pressure } from './first-token.ts'
import { claimOf, claimsOf, fits, Room } from './need.ts'
import { Prefetch } from './prefetch.ts'
import { type Waiting, WaitingQueue } from './queue.ts'
import type { Scheduled } from './scheduled.ts'
import { placeIn, type Sequence } from './sequence.ts'
import { Speculation } from './speculation.ts'
import { addWork, noWork, StepTime } from './step-time.ts'

export type { Plan } from './draft.ts'

/** Of those that wait, how many have their tokens set against those of the running prompts. */
const WEIGHED = 16
/** Tokens of prompts that a step takes in any case, however long those who decode wait for it. */
const PROMPT_TOKENS = 16
/** Queues of at most so many are looked through for who is late in every step, longer ones every so many milliseconds. */
const LATE_AT_ONCE = 256
const LATE_EVERY = 50

export class Scheduler {
  readonly waiting: Waiting
  /** Admitted, in order of service: the last is preempted first. */
  readonly running: Sequence[] = []
  preemptions = 0
  /** Refused for the time of their first token, by what they would have waited for. */
  readonly tooLate = { room: 0, time: 0 }
  readonly admission: Admission
  /** Told of every step by whoever runs them. */
  readonly stepTime = new StepTime()
  private readonly prefetching: Prefetch
  /** With speculative decoding. */
  readonly speculation: Speculation | undefined
  /** With fair scheduling. */
  private readonly fairness: Fairness | undefined
  /** Milliseconds since epoch. */
  private readonly clock: () => number
  private readonly firstTokens = new FirstTokens()
  /** Sequences, waiting or running, that want their first token by some time. */
  private timed = 0
  private lateLooked = 0
  private readonly pool: Pool
  private readonly limits: Limits
  private readonly longest: number
  private readonly putBack: (sequence: Sequence) => void

  /** `putBack` is told of each sequence that goes back to the queue before what it held can be another's: an adapter that comes in the same plan lies where no slot of the batch still has a block. */
  constructor(
    pool: Pool,
    limits: Limits,
    images: ReadonlyMap<string, AdapterImage>,
    putBack: (sequence: Sequence) => void = () => {},
  ) {
    this.pool = pool
    this.limits = limits
    this.putBack = putBack
    this.clock = limits.clock ?? Date.now
    this.fairness = limits.fair ? new Fairness() : undefined
    this.waiting = this.fairness ? new FairQueue(this.fairness.counters) : new WaitingQueue()
    this.speculation = limits.draftTokens ? new Speculation(limits.draftTokens, limits.maxModelLen, this.stepTime) : undefined
    this.admission = new Admission(pool, limits, images)
    this.prefetching = new Prefetch(pool, limits, images)
    this.longest = limits.longPrefillTokens || Math.ceil(limits.maxBatchTokens / 2)
  }

  get empty(): boolean {
    return this.running.length === 0 && this.waiting.length === 0
  }

  add(sequence: Sequence): void {
    if (sequence.request.firstTokenMs !== undefined) this.timed++
    this.fairness?.entered(sequence)
    this.waiting.push(sequence)
  }

  /**
   * What the next step computes; blocks for it are taken and adapters are in the pool. `inFlight`: the step before it is not over. What that one names stays where
   * it is, so nobody is preempted, and nothing waits for the device: such a plan may be empty where another would not be.
   */
  plan(inFlight = false): Plan {
    this.pool.now++
    const now = this.clock()
    this.firstTokens.begin(now)
    const gaveWay = this.whoGivesWay()
    // Once the step in flight is over.
    if (gaveWay && inFlight) return { scheduled: [], outgrown: [], refused: [] }
    if (gaveWay) this.preempt(gaveWay)
    const going = this.running.filter((sequence) => this.goesOn(sequence))
    const ready = readyOf(going, this.pool.adapters)
    const weighed = this.running.length < this.limits.maxSequences ? this.waiting.first(WEIGHED) : []
    const draft = new Draft(this.allowance(ready, weighed), this.tokenMs, this.spareRows(), inFlight)
    draft.held = going.length - ready.length
    const shares = this.shares(ready, weighed, draft)
    this.serve(ready, shares, draft)
    if (draft.blocked) return draft.plan()
    if (!draft.preempted) {
      const given = new Map(weighed.map((sequence, i) => [sequence, shares[ready.length + i]]))
      this.admit(draft, given, gaveWay !== undefined)
    }
    // The step was kept for some of a better priority who could not be admitted.
    if (draft.picked.length === 0) this.serveAlone(ready, draft)
    if (draft.picked.length === 0 && !inFlight) this.serveAlone(releaseFirst(this.running, this.pool.adapters), draft)
    this.fill(ready, draft)
    if (!inFlight) this.speculate(draft)
    this.firstTokens.end(this.pressure(draft))
    if (this.timed > 0 && (this.waiting.length <= LATE_AT_ONCE || now - this.lateLooked >= LATE_EVERY))
      this.refuseLate(draft, now)
    return draft.plan()
  }

  /** Under fair scheduling, where there is no room for the next that waits: who of a flow ahead gives its place, one a step. */
  private whoGivesWay(): Sequence | undefined {
    const next = this.fairness && this.running.length > 1 ? this.waiting.next(() => false, true) : undefined
    const victim = next && this.fairness?.yielding(next, this.running)
    if (!victim) return undefined
    const { blockSize } = this.pool
    const room = new Room(this.pool, claimsOf(this.running, blockSize))
    const fitting = this.running.length < this.limits.maxSequences && fits(this.admission.need(next), room)
    return fitting ? undefined : victim
  }

  /** What the step may take: beside those who decode, prompts get what is left of `maxStepMs`, and PROMPT_TOKENS in any case. */
  private allowance(ready: readonly Sequence[], weighed: readonly Sequence[]): Allowance {
    const { maxBatchTokens, maxStepMs } = this.limits
    const decoding = noWork()
    for (const sequence of ready) if (sequence.decodes) addWork(decoding, sequence.computed, 1, 1)
    if (!maxStepMs || decoding.rows === 0) return { tokens: maxBatchTokens, ms: Number.POSITIVE_INFINITY }
    const prompt = ready.find((sequence) => !sequence.decodes) ?? weighed[0]
    const least = prompt ? PROMPT_TOKENS * this.tokenMs(prompt, prompt.computed) : 0
    return {
      tokens: Math.min(maxBatchTokens, decoding.rows + this.stepTime.trusted),
      ms: Math.max(maxStepMs - this.stepTime.predict(decoding), least),
    }
  }

  /** Milliseconds that one of its next tokens takes beside those who decode, of which `context` come before; the chunk's own add to them. */
  private readonly tokenMs = (sequence: Sequence, context: number): number =>
    sequence.decodes ? 0 : this.stepTime.tokenMs(context + this.longest / 2, sequence.scores)

  private shares(ready: readonly Sequence[], weighed: readonly Sequence[], { left }: Draft): Int32Array {
    const bounded = left.ms !== Number.POSITIVE_INFINITY
    const wish = (sequence: Sequence): Wish => {
      const { level, due, remaining } = sequence
      return { level, due, remaining, tokenMs: bounded ? this.tokenMs(sequence, sequence.computed) : 0 }
    }
    const longest = Math.ceil((this.longest * left.tokens) / this.limits.maxBatchTokens)
    return shareOut(ready.map(wish), weighed.map(wish), left, longest)
  }

  /** Rows of logits for scoring prompts in the next step: every sequence that could be in it keeps its own, so that no token waits for a prompt to be scored. */
  private spareRows(): number {
    const { maxSequences } = this.limits
    return maxLogitsRows(maxSequences) - Math.min(maxSequences, this.running.length + this.waiting.length)
  }

  /** Whether it has more to compute as far as can be known now: it has not ended, and surely will not with the token that is being sampled. */
  private goesOn(sequence: Sequence): boolean {
    if (sequence.state !== 'running' || sequence.remaining === 0) return false
    // What may follow a token that is being sampled is not known yet; nor is it of one whose mask is late.
    if (sequence.request.constraint && (sequence.pending > 0 || sequence.mask?.holdsBack)) return false
    const { maxTokens } = sequence.request.sampling
    return (
      sequence.pending === 0 || (sequence.length - sequence.promptLength < maxTokens && sequence.length < this.limits.maxModelLen)
    )
  }

  private serveAlone(sequences: readonly Sequence[], draft: Draft): void {
    const left = sequences.filter((sequence) => draft.goesOn(sequence))
    this.serve(left, this.shares(left, [], draft), draft)
  }

  /** Schedules each of `ready` with its share, once there is room for all that is left of them. Nothing is scheduled yet. */
  private serve(ready: readonly Sequence[], shares: Int32Array, draft: Draft): void {
    draft.cut(ready, shares)
    this.makeRoom(ready, shares, draft)
    if (draft.blocked) return
    for (let i = 0; i < ready.length; i++) {
      if (shares[i] === 0 || !draft.goesOn(ready[i])) continue
      if (!this.admission.grow(ready[i], shares[i])) throw new Error('the pool has less room than it said')
      draft.pick(ready[i], shares[i])
    }
  }

  /** Where blocks are short for `ready`, the latest go back to the queue until they suffice. That they are short is known before anything is taken or undone. */
  private makeRoom(ready: readonly Sequence[], shares: Int32Array, draft: Draft): void {
    let lacking = 0
    for (let i = 0; i < ready.length; i++) lacking += this.admission.lacks(ready[i], shares[i])
    while (lacking > this.pool.available()) {
      draft.blocked = draft.inFlight
      if (draft.blocked) return
      const victim = this.fairness?.lastOf(this.running) ?? this.running[this.running.length - 1]
      const at = ready.lastIndexOf(victim)
      if (at >= 0) lacking -= this.admission.lacks(victim, shares[at])
      // Alone, it goes back only to come with its adapters in fewer blocks.
      if (this.running.length === 1 && !this.admission.scattered(victim)) {
        draft.outgrown.push(victim)
        return
      }
      this.preempt(victim)
      draft.preempted = true
    }
  }

  /** Admits in order while there are tokens and room. `shares`: what the first were given beside those that run; `gaveWay`: somebody has given up a place for the next. */
  private admit(draft: Draft, shares: ReadonlyMap<Sequence, number>, gaveWay: boolean): void {
    const { adapters, blockSize } = this.pool
    let claimed = claimsOf(this.running, blockSize)
    const cluster = this.cluster()
    while (draft.open && this.running.length < this.limits.maxSequences) {
      const full = draft.held >= HELD_AT_ONCE
      const sequence = this.waiting.next(
        (s) => cluster?.has(s.adapterKey) === false || this.admission.costly(s) || (full && !arrived(s, adapters)),
        gaveWay,
      )
      if (!sequence || (full && !arrived(sequence, adapters))) return
      const need = this.admission.need(sequence)
      if (!fits(need, new Room(this.pool, claimed))) {
        if (this.running.length > 0) return
        // What it needs may lie scattered over more blocks than it fills.
        if (adapters.evictShared()) continue
        this.refuse(sequence, draft)
        continue
      }
      const share = Math.min(Math.max(1, shares.get(sequence) ?? this.longest), sequence.remaining)
      try {
        const budget = draft.within(sequence, share, need.prefix.length * blockSize)
        this.enter(sequence, this.admission.take(sequence, need, budget, claimed), draft)
        claimed += claimOf(sequence, blockSize)
      } catch (error) {
        if (!(error instanceof EngineError)) throw error
        this.finish(sequence)
        draft.refused.push({ sequence, code: error.code, reason: error.message })
      }
    }
  }

  /** What the plan does for prompts, and whether it left some of them for want of room in the step. */
  private pressure({ picked, open }: Draft): Pressure {
    let promptTokens = 0
    let full = !open && this.waiting.length > 0
    for (const { sequence, count } of picked) {
      if (sequence.decodes) continue
      promptTokens += count
      full ||= count < sequence.remaining
    }
    return { waiting: this.waiting.length, promptTokens, full }
  }

  /** Who waits and cannot have its first token by when it wants it is told so at once, and takes no time from the others. */
  private refuseLate(draft: Draft, now: number): void {
    this.lateLooked = now
    const waiting = this.waiting.first(this.waiting.length)
    let ahead = 0
    for (const sequence of this.running) if (!sequence.decodes) ahead += sequence.remaining
    for (const { sequence, after, waitsFor } of this.firstTokens.late(waiting, ahead, now)) {
      this.tooLate[waitsFor]++
      const wanted = sequence.request.firstTokenMs as number
      this.finish(sequence)
      const reason = `its first token could be expected ${seconds(after)} after it came, and is wanted within ${seconds(wanted)}; try again later`
      draft.refused.push({ sequence, code: 'too_late', reason, retryAfter: Math.max(1, Math.ceil((after - wanted) / 1000)) })
    }
  }

  /** Adapters of those that run, where they are as many as a cluster has; the base is in it. */
  private cluster(): Set<string> | undefined {
    const { adapterCluster = 0 } = this.limits
    if (adapterCluster === 0) return undefined
    const keys = new Set(this.running.map(({ adapterKey }) => adapterKey))
    keys.delete('')
    return keys.size < adapterCluster ? undefined : keys.add('')
  }

  /** Alone in the pool, and still no room: waiting would not help. */
  private refuse(sequence: Sequence, draft: Draft): void {
    this.finish(sequence)
    if (sequence.outputLength > 0) draft.outgrown.push(sequence)
    else draft.refused.push({ sequence, code: 'pool_too_small', reason: 'the pool cannot hold it with its adapters (--pool)' })
  }

  private enter(sequence: Sequence, count: number, draft: Draft): void {
    this.waiting.admit(sequence)
    this.fairness?.admitted(sequence)
    this.firstTokens.admitted()
    sequence.admittedAt = sequence.computed
    this.running.splice(placeIn(this.running, sequence), 0, sequence)
    sequence.state = 'running'
    // Its adapters' bytes travel while the others compute; those behind it are not kept waiting.
    if (arrived(sequence, this.pool.adapters)) draft.pick(sequence, count)
    else {
      sequence.heldFor = 1
      draft.held++
    }
  }

  /** What is left of the budget goes to those who can use it: a long prompt alone gets all of it. Nobody is put back for that. */
  private fill(ready: readonly Sequence[], draft: Draft): void {
    for (const item of draft.picked) {
      if (draft.left.tokens === 0) return
      const more = draft.moreOf(item)
      if (more > 0 && this.admission.grow(item.sequence, item.count + more)) draft.extend(item, more)
    }
    if (draft.picked.length >= ready.length) return
    const picked = new Set(draft.picked.map((item) => item.sequence))
    for (const sequence of ready) {
      const count = draft.within(sequence, sequence.remaining)
      if (count === 0 || picked.has(sequence) || !draft.goesOn(sequence)) continue
      if (this.admission.grow(sequence, count)) draft.pick(sequence, count)
    }
  }

  /** What is left of tokens and rows goes to drafts where they pay. Nobody is put back for them: each of those that run still finds a block to grow. */
  private speculate(draft: Draft): void {
    const { speculation, pool } = this
    if (!speculation) return
    const decoding = draft.picked.filter(({ sequence }) => sequence.decodes)
    const candidates = decoding.map(({ sequence }) => ({ sequence, most: speculation.mostOf(sequence) }))
    for (const [i, count] of speculation.choose(candidates).entries()) {
      const item = decoding[i]
      const drafted = Math.min(count, draft.left.tokens, draft.spareRows)
      if (drafted <= 0 || this.admission.lacks(item.sequence, 1 + drafted) + this.running.length > pool.available()) continue
      if (this.admission.grow(item.sequence, 1 + drafted)) draft.draftFor(item, drafted)
    }
  }

  /** Where the next step begins is known only once the one in flight is over, or that step is better with the drafts that are known then (it waits `idleMs` for them). */
  awaitsTokens(inFlight: readonly Scheduled[], idleMs: number): boolean {
    if (!this.speculation) return false
    return inFlight.some(({ drafted }) => drafted > 0) || this.speculation.pays(this.running, idleMs)
  }

  /** Has adapters of the first that wait copied beside the step in flight. */
  prefetch(): void {
    this.prefetching.run(this.waiting, this.running)
  }

  /** The first `computed` tokens of the sequence lie in the cache: full blocks become findable. */
  register(sequence: Sequence, computed: number): void {
    if (!this.limits.prefixCache) return
    const { blockSize, prefixes } = this.pool
    for (; (sequence.registered + 1) * blockSize <= computed; sequence.registered++) {
      const { registered } = sequence
      const parent = registered > 0 ? sequence.hash(registered - 1, blockSize) : undefined
      const key = sequence.cacheKey(registered, blockSize)
      if (prefixes.register(sequence.blocks[registered], sequence.hash(registered, blockSize), key, parent))
        prefixes.events?.stored(sequence, registered, blockSize)
    }
  }

  /** Ends a sequence, waiting or running: all that it held goes back, at once or, while a step in flight names it, when this is called again. */
  finish(sequence: Sequence): void {
    if (sequence.inFlight > 0) {
      sequence.state = 'leaving'
      return
    }
    const { state } = sequence
    if (state !== 'ended') {
      this.fairness?.ended(sequence)
      if (sequence.request.firstTokenMs !== undefined) this.timed--
    }
    sequence.state = 'ended'
    if (state === 'waiting') this.waiting.drop(sequence)
    if (state !== 'running' && state !== 'leaving') return
    this.running.splice(placeIn(this.running, sequence), 1)
    this.admission.leave(sequence)
  }

  /** Its answer has a token more. */
  sampled(sequence: Sequence): void {
    this.fairness?.sampled(sequence)
  }

  private preempt(victim: Sequence): void {
    this.running.splice(placeIn(this.running, victim), 1)
    this.putBack(victim)
    this.admission.leave(victim)
    victim.state = 'waiting'
    victim.preemptions++
    this.preemptions++
    this.waiting.push(victim)
  }
}

const seconds = (ms: number) => `${Number((ms / 1000).toPrecision(2))} s`
