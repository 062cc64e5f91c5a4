/**
 * Speculative decoding by prompt lookup: what followed where a sequence's last tokens stood before is drafted, and a step computes the draft with the token that is known
 * (Leviathan et al., "Fast Inference from Transformers via Speculative Decoding", 2023; Saxena, "Prompt Lookup Decoding", 2023). At each position the token is sampled as it always is; a draft
 * stays while it is that token, so that answers are the same with drafts and without.
 *
 * A step with drafts cannot be planned before the one before it is over. So they are made only where they pay: a drafted token is worth its time if the chance that it stays, per
 * millisecond, is more than what the step yields without it.
 */
import type { Sequence } from './sequence.ts'
import { addWork, noWork, type StepTime } from './step-time.ts'

/** Weights of a new verdict in a sequence's rate and in that of all. */
const OWN = 1 / 6
const ALL = 1 / 64
/** The rate before any verdict. */
const FIRST_RATE = 0.5

/** What drafts are chosen from: one that decodes, and how many tokens may be drafted for it. */
export interface Candidate {
  sequence: Sequence
  most: number
}

export class Speculation {
  readonly counters = { drafts: 0, draftTokens: 0, acceptedTokens: 0 }
  /** `acceptedTokens` by place in the draft. */
  readonly acceptedAt: number[]
  private readonly tokens: number
  private readonly maxModelLen: number
  private readonly stepTime: StepTime
  private rate = FIRST_RATE

  /** At most `tokens` are drafted for a sequence in a step. */
  constructor(tokens: number, maxModelLen: number, stepTime: StepTime) {
    this.tokens = tokens
    this.maxModelLen = maxModelLen
    this.stepTime = stepTime
    this.acceptedAt = new Array(tokens).fill(0)
  }

  /** So many tokens may be drafted for it: as many as were found, and no more than its answer may still have behind the one that comes in any case. */
  mostOf({ found, request, length, promptLength }: Sequence): number {
    if (!found) return 0
    const left = Math.min(request.sampling.maxTokens - (length - promptLength), this.maxModelLen - length) - 1
    return Math.max(0, Math.min(found.count, this.tokens, left))
  }

  /**
   * Whether the next step is worth planning only once the one in flight is over: with drafts it gives more tokens in a millisecond, although the device waits `idleMs` for it.
   */
  pays(running: readonly Sequence[], idleMs: number): boolean {
    const decoding = running.filter((sequence) => sequence.decodes || sequence.pending > 0)
    const candidates = decoding.map((sequence) => ({ sequence, most: this.mostOf(sequence) }))
    if (!candidates.some(({ most }) => most > 0)) return false
    const { gain, ms, drafted } = this.weigh(candidates)
    const alone = this.alone(candidates)
    return drafted.some((count) => count > 0) && (candidates.length + gain) * alone >= candidates.length * (alone + ms + idleMs)
  }

  /** How many tokens to draft for each of those who decode in a step. */
  choose(candidates: readonly Candidate[]): number[] {
    return this.weigh(candidates).drafted
  }

  /** A token has come, or several behind drafts of which `taken` stayed. `found` and what was drafted of it were there before; `token` is the first that came. */
  judged(sequence: Sequence, drafted: number, taken: number, token: number): void {
    if (drafted > 0) {
      this.counters.drafts++
      this.counters.draftTokens += drafted
      this.counters.acceptedTokens += taken
      for (let i = 0; i < drafted && i <= taken; i++) this.verdict(sequence, i < taken)
      for (let i = 0; i < taken; i++) this.acceptedAt[i]++
    } else if (sequence.found) this.verdict(sequence, sequence.found.first === token)
  }

  private verdict(sequence: Sequence, right: boolean): void {
    const value = right ? 1 : 0
    sequence.foresight = this.rateOf(sequence) + OWN * (value - this.rateOf(sequence))
    this.rate += ALL * (value - this.rate)
  }

  /** The chance that a drafted token stays, if those before it do. */
  private rateOf({ foresight }: Sequence): number {
    return foresight ?? this.rate
  }

  /** Milliseconds of a step in which each has its one token; 0 as long as nothing has been measured. */
  private alone(candidates: readonly Candidate[]): number {
    const work = noWork()
    for (const { sequence } of candidates) addWork(work, sequence.computed, 1, 1)
    return this.stepTime.predict(work)
  }

  /** Token by token, the first of each before the second of any: taken where its chance a millisecond is above what there is without it. */
  private weigh(candidates: readonly Candidate[]): { drafted: number[]; gain: number; ms: number } {
    const drafted = candidates.map(() => 0)
    const { rowMs } = this.stepTime
    const alone = this.alone(candidates)
    let gain = 0
    let ms = 0
    for (let n = 1; n <= this.tokens; n++) {
      let any = false
      for (const [i, { sequence, most }] of candidates.entries()) {
        if (drafted[i] !== n - 1 || most < n) continue
        const chance = this.rateOf(sequence) ** n
        if (chance * (alone + ms) < (candidates.length + gain) * rowMs) continue
        drafted[i] = n
        gain += chance
        ms += rowMs
        any = true
      }
      if (!any) break
    }
    return { drafted, gain, ms }
  }
}
