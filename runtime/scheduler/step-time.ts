/** How long a step will take, learned from the steps that were measured. Pure: it knows no clock. */
import { solve } from './equations.ts'

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
/** So much of each thing makes a step about as much longer on any device. */
const UNITS: Work = { tokens: 128, context: 16_384, pairs: 65_536, rows: 16 }
const FEATURES = 5
/** What of a kind's measurements is kept when one more comes: the last hundred count. */
const KEEP = 0.99
/** So much of what was measured draws every coefficient to nothing, so that what was never told apart is shared evenly. */
const RIDGE = 1e-4
/** Weights of a new measurement in the pace and the usual error. */
const PACE = 0.15
const ERROR = 0.05
/** A measurement so many times what was expected, or so small a part, counts as that: for the pace, and for the coefficients, which leave to it what comes and goes. */
const OUTLIER = 3
const UNUSUAL = 1.5
/** Tokens of a chunk that share reading its context, at the least. */
const READERS = 16

/**
 * Milliseconds of a step as a sum over what it computes, each with a coefficient: for the step itself, a chunk's token, a cached token read, a pair of attention, a row. The coefficients
 * are those of least squares over relative errors (weighted recursive least squares, with none below nothing). Steps with and without prompts are kept apart, so that no hour of decoding unlearns what a
 * prompt costs. Beside them a *pace*, how much longer the last steps took than the coefficients say, follows within a few steps, for steps of all kinds, when other processes take the cores. It has no
 * part in what the coefficients are learned from: two that follow one error drift apart.
 */
export class StepTime {
  /** Of a step, and of UNITS tokens, cached tokens, pairs and rows. */
  private coefficients: readonly number[] = new Array(FEATURES).fill(0)
  private pace = 1
  /** Mean relative error of predictions. */
  private error = 0
  /** Steps without and with chunks. */
  private readonly kinds = [new Sums(), new Sums()]
  /** The most tokens of chunks in one step. */
  private largest = 0

  /** Tokens of chunks that a step may have so that what is known says something of it. */
  get trusted(): number {
    return Math.max(FIRST_CHUNK, 2 * this.largest)
  }

  /** A step took so long. Times that are no positive number say nothing. */
  measured(work: Work, ms: number): void {
    if (!(ms > 0 && ms < Number.POSITIVE_INFINITY)) return
    const x = features(work)
    const usual = dot(this.coefficients, x)
    const expected = this.pace * usual
    if (expected > 0) {
      this.pace += PACE * (within(ms / usual, OUTLIER) - this.pace)
      this.error += ERROR * (Math.abs(within(ms / expected, OUTLIER) - 1) - this.error)
    }
    const kind = this.kinds[work.tokens > 0 ? 1 : 0]
    // What is made small is the relative error.
    const scale = usual > 0 ? usual : ms
    kind.add(
      x.map((value) => value / scale),
      within(ms / scale, UNUSUAL),
    )
    this.largest = Math.max(this.largest, work.tokens)
    this.coefficients = leastSquares(this.kinds)
  }

  /**
   * Milliseconds that one token more of a prompt costs beside what is in a step, which comes after `context` tokens and, if `scored`, has a row of logits. Reading the context is
   * paid once by all tokens of a chunk; it is counted as if they were READERS.
   */
  tokenMs(context: number, scored: boolean): number {
    const work = { tokens: 1, context: context / READERS, pairs: context, rows: scored ? 1 : 0 }
    return this.predict(work) - this.predict(noWork())
  }

  /** Milliseconds that one more single token costs beside what is in a step. */
  get rowMs(): number {
    return this.predict({ ...noWork(), rows: 1 }) - this.predict(noWork())
  }

  /** Milliseconds that this will take, with the usual error on top; 0 as long as nothing has been measured. A number in any case: whoever plans by it counts tokens with it. */
  predict(work: Work): number {
    const ms = this.pace * (1 + this.error) * dot(this.coefficients, features(work))
    return ms < Number.POSITIVE_INFINITY ? ms : 0
  }
}

/** A ratio, no more than `most` and no less than its inverse. */
const within = (ratio: number, most: number) => Math.min(Math.max(ratio, 1 / most), most)

/** What least squares needs of measurements: sums of products of their features, and of features and times. */
class Sums {
  readonly xx = new Float64Array(FEATURES * FEATURES)
  readonly xy = new Float64Array(FEATURES)

  add(x: readonly number[], y: number): void {
    for (let i = 0; i < FEATURES; i++) {
      this.xy[i] = KEEP * this.xy[i] + x[i] * y
      for (let j = 0; j < FEATURES; j++) this.xx[i * FEATURES + j] = KEEP * this.xx[i * FEATURES + j] + x[i] * x[j]
    }
  }
}

/** The coefficients that fit best, of which none is negative: what would be has none. */
function leastSquares(kinds: readonly Sums[]): number[] {
  const at = (i: number, j: number) => kinds.reduce((sum, { xx }) => sum + xx[i * FEATURES + j], 0)
  let used = Array.from({ length: FEATURES }, (_, i) => i)
  const ridge = (RIDGE * used.reduce((sum, i) => sum + at(i, i), 0)) / FEATURES
  for (;;) {
    const rows = used.map((i) => [
      ...used.map((j) => at(i, j) + (i === j ? ridge : 0)),
      kinds.reduce((sum, { xy }) => sum + xy[i], 0),
    ])
    const solved = solve(rows)
    const kept = used.filter((_, n) => solved[n] > 0)
    if (kept.length === used.length || kept.length === 0) {
      const all: number[] = new Array(FEATURES).fill(0)
      for (const [n, i] of used.entries()) all[i] = Math.max(0, solved[n])
      return all
    }
    used = kept
  }
}

/** In UNITS. */
function features({ tokens, context, pairs, rows }: Work): number[] {
  return [1, tokens / UNITS.tokens, context / UNITS.context, pairs / UNITS.pairs, rows / UNITS.rows]
}

function dot(a: readonly number[], b: readonly number[]): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}
