/** How long a step will take, learned from the steps that were measured. Pure: it knows no clock. */

/** What a step computes, as far as its time depends on it. */
export interface Work {
  /** Tokens of chunks: of sequences that compute more than one. */
  tokens: number
  /** Cached tokens that are read: each sequence's context, once. */
  context: number
  /** Pairs of a chunk's token and one that it attends to. */
  pairs: number
  /** Single tokens, those of who decodes, and what chunks have of rows of logits. */
  rows: number
}

export const noWork = (): Work => ({ tokens: 0, context: 0, pairs: 0, rows: 0 })

/** Adds to `work` what computing `count` tokens after `from` others brings, with `rows` rows of logits. */
export function addWork(work: Work, from: number, count: number, rows: number): void {
  work.context += from + count
  if (count === 1) {
    work.rows++
    return
  }
  work.tokens += count
  work.pairs += count * (from + (count + 1) / 2)
  work.rows += rows
}

/** Tokens of chunks in a step when nothing like it has been measured: twice what has, and at least this many. */
const FIRST_CHUNK = 32
/** So much of each thing makes a step about as much longer on any device; of tokens as many as have been seen together, up to this. */
const UNITS: Work = { tokens: 128, context: 16_384, pairs: 65_536, rows: 16 }
/** Weights of a new measurement in the coefficients, the pace and the usual error. */
const LEARN = 0.2
const PACE = 0.2
const ERROR = 0.05
/** From so many measurements on one that is this many times too long, or too short, counts as no more than that. */
const KNOWN = 8
const OUTLIER = 2
/** A pace so many times the usual is the usual. */
const FAR = 4
/** Tokens of a chunk that share reading its context, at the least. */
const READERS = 16

/**
 * Milliseconds of a step as a sum over what it computes, each with a coefficient: for the step itself, a chunk's token, a cached token read, a pair of attention, a row.
 * Each measurement moves the coefficients a part of the way to where they would give it, each by as much as it has to do with it (normalized least mean squares). What a
 * prompt costs is moved by steps with prompts alone, so that no hour of decoding unlearns it. Beside them a *pace*, how much longer the last steps took than that, follows
 * within a few steps, for steps of all kinds, when other processes take the cores.
 */
export class StepTime {
  /** Of a step, and of one token, cached token, pair and row. */
  private readonly coefficients = [0, 0, 0, 0, 0]
  private pace = 1
  /** Mean relative error of predictions. */
  private error = 0
  /** Steps measured without and with chunks, and the most tokens of chunks in one. */
  private readonly counts = [0, 0]
  private largest = 0

  /** Tokens of chunks that a step may have so that what is known says something of it. */
  get trusted(): number {
    return Math.max(FIRST_CHUNK, 2 * this.largest)
  }

  /** A step took so long. Times that are no positive number say nothing. */
  measured(work: Work, ms: number): void {
    if (!(ms > 0 && ms < Number.POSITIVE_INFINITY)) return
    const x = features(work)
    const expected = this.pace * dot(this.coefficients, x)
    const kind = work.tokens > 0 ? 1 : 0
    const known = this.counts[kind] >= KNOWN && expected > 0
    const seen = known ? Math.min(Math.max(ms, expected / OUTLIER), expected * OUTLIER) : ms
    // The first of a kind is taken as it is.
    this.learn(x, (Math.max(LEARN, 1 / (this.counts[kind] + 1)) * (seen - expected)) / this.pace)
    if (known) {
      const wrong = seen / expected - 1
      this.pace *= 1 + PACE * wrong
      this.error += ERROR * (Math.abs(wrong) - this.error)
      this.recentre()
    }
    this.largest = Math.max(this.largest, work.tokens)
    this.counts[kind]++
  }

  /**
   * Milliseconds that one token more of a prompt costs beside what is in a step, which comes after `context` tokens and, if `scored`, has a row of logits. Reading the context is
   * paid once by all tokens of a chunk; it is counted as if they were READERS.
   */
  tokenMs(context: number, scored: boolean): number {
    const work = { tokens: 1, context: context / READERS, pairs: context, rows: scored ? 1 : 0 }
    return this.predict(work) - this.predict(noWork())
  }

  /** Milliseconds that this will take, with the usual error on top; 0 as long as nothing has been measured. */
  predict(work: Work): number {
    const ms = this.pace * (1 + this.error) * dot(this.coefficients, features(work))
    // A number in any case: whoever plans by it counts tokens with it.
    return ms < Number.POSITIVE_INFINITY ? ms : 0
  }

  /**
   * Only the product of pace and coefficients is ever measured, and both follow it: left alone they drift apart, the one to infinity and the others to nothing within minutes. The same
   * product with a pace of 1 says the same.
   */
  private recentre(): void {
    if (this.pace > 1 / FAR && this.pace < FAR) return
    for (let i = 0; i < this.coefficients.length; i++) this.coefficients[i] *= this.pace
    this.pace = 1
  }

  /** Moves the coefficients so that a step of these features is predicted `ms` longer. */
  private learn(x: readonly number[], ms: number): void {
    // What goes beyond all that was seen is what explains the time.
    const tokens = Math.min(UNITS.tokens, Math.max(FIRST_CHUNK / 2, this.largest))
    const units = [1, tokens, UNITS.context, UNITS.pairs, UNITS.rows]
    const scaled = x.map((value, i) => value / units[i])
    const all = dot(scaled, scaled)
    for (let i = 0; i < x.length; i++) {
      // None costs less than nothing.
      this.coefficients[i] = Math.max(0, this.coefficients[i] + (ms * scaled[i]) / all / units[i])
    }
  }
}

function features({ tokens, context, pairs, rows }: Work): number[] {
  return [1, tokens, context, pairs, rows]
}

function dot(a: readonly number[], b: readonly number[]): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}
