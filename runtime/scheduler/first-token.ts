/** When those that wait can expect their first tokens: by how fast others were admitted before them, and how fast the prompts before theirs are computed. */
import type { Sequence } from './sequence.ts'

/** Weight of a new measurement (S-LoRA smooths its rates with 0.7 and 0.3; appendix B). */
const NEW = 0.3
/** Milliseconds over which things are counted for one measurement. */
const WINDOW = 500

/** What a plan has done for those whose prompts are not computed yet. */
export interface Pressure {
  /** Sequences that it has left waiting. */
  waiting: number
  /** Tokens of prompts in the step. */
  promptTokens: number
  /** More of them were there than the step had room or time for. */
  full: boolean
}

/** Things a millisecond, smoothed. */
class Rate {
  private smoothed: number | undefined
  private things = 0
  private ms = 0

  /** So many have come. */
  count(things: number): void {
    this.things += things
  }

  /** So many milliseconds were theirs to come in. */
  pass(ms: number): void {
    this.ms += ms
    if (this.ms < WINDOW || this.things === 0) return
    const rate = this.things / this.ms
    this.smoothed = this.smoothed === undefined ? rate : (1 - NEW) * this.smoothed + NEW * rate
    this.things = 0
    this.ms = 0
  }

  forget(): void {
    this.smoothed = undefined
    this.things = 0
    this.ms = 0
  }

  /** Infinite as long as nothing is known. A window that goes on without anything tells of a rate that is no longer true. */
  get value(): number {
    const most = this.ms < WINDOW ? Number.POSITIVE_INFINITY : (this.things + 1) / this.ms
    return Math.min(this.smoothed ?? Number.POSITIVE_INFINITY, most)
  }
}

/** `after`: milliseconds from its arrival to when its first token can be expected; `waitsFor`: what takes so long. */
export interface Late {
  sequence: Sequence
  after: number
  waitsFor: 'room' | 'time'
}

export class FirstTokens {
  /** Admissions while somebody waited. */
  private readonly admissions = new Rate()
  /** Tokens of prompts in steps that were full of them. */
  private readonly prompts = new Rate()
  private pressure: Pressure = { waiting: 0, promptTokens: 0, full: false }
  private last = 0
  /** When somebody waited last. */
  private crowdedAt = 0

  /** Before a plan. While nobody waits, admissions say how fast requests come, not how fast they could be served. */
  begin(now: number): void {
    const { waiting, promptTokens, full } = this.pressure
    const passed = now - this.last
    if (full) {
      this.prompts.count(promptTokens)
      this.prompts.pass(passed)
    }
    if (waiting > 0) {
      if (!full) this.admissions.pass(passed)
      this.crowdedAt = now
    } else if (now - this.crowdedAt > WINDOW) {
      // A crowd that is over says nothing of the next one: there may be room now for many at once.
      this.admissions.forget()
    }
    this.last = now
  }

  /** After it. */
  end(pressure: Pressure): void {
    this.pressure = pressure
  }

  /** A sequence was admitted. */
  admitted(): void {
    if (this.pressure.waiting > 0 && !this.pressure.full) this.admissions.count(1)
  }

  /**
   * Of those that wait, in order, whoever cannot have its first token in time, with the milliseconds that it could be expected after. Who goes makes way for those behind it. `ahead`: tokens that those who run have
   * to compute before they decode. Whoever has been admitted stays, also where it was put back before its first token.
   */
  late(waiting: readonly Sequence[], ahead: number, now: number): Late[] {
    const late: Late[] = []
    const [admissions, prompts] = [this.admissions.value, this.prompts.value]
    let tokens = ahead
    let before = 0
    for (const sequence of waiting) {
      const { firstTokenMs, arrival } = sequence.request
      const own = sequence.remaining
      const isNew = sequence.outputLength === 0 && sequence.preemptions === 0
      // Whichever it is that they wait for: room, or the prompts before theirs.
      const [room, time] = [(before + 1) / admissions + own / prompts, (tokens + own) / prompts]
      const expected = Math.max(room, time)
      const after = now - arrival + expected
      if (firstTokenMs !== undefined && isNew && after > firstTokenMs)
        late.push({ sequence, after, waitsFor: room > time ? 'room' : 'time' })
      else {
        before++
        tokens += own
      }
    }
    return late
  }
}
