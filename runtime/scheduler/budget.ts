/** How a step's tokens are shared: a pure function of who wants how many. */

/** A sequence, as far as its share goes. */
export interface Wish {
  /** Of its priority: lower is better. */
  level: number
  /** In milliseconds; the order of service is that of due times. */
  due: number
  /** Tokens still to be computed. */
  remaining: number
  /** Milliseconds that each takes of the step's `ms`; 0 for who decodes, and in steps that may take as long as they take. */
  tokenMs: number
}

/** What a step may take. */
export interface Allowance {
  tokens: number
  /** Milliseconds for prompts, beside those that decode; Infinity where nobody waits for the step. */
  ms: number
}

/** Tokens for that time: one at least while there is some. */
export function affordable(ms: number, tokenMs: number): number {
  if (ms <= 0 && tokenMs > 0) return 0
  return tokenMs === 0 ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(ms / tokenMs))
}

/** One that waits goes before one that runs only for its priority, and only as long as that has not aged: with equal priorities nobody who decodes waits. */
const precedes = (waits: Wish, runs: Wish) => waits.level < runs.level && waits.due < runs.due

/**
 * Tokens of a step for each of `running` and then each of `waiting`, both in order of service; no more than `allowance` in all. What is left over nobody took within
 * these rules; the caller gives it to whoever can use it.
 * 1. Everyone who runs gets one token, so nobody who decodes waits for a prompt. Who waits and has a better priority comes before those of a worse one that are due
 *    later: who runs cannot be held up by newcomers for ever.
 *    In a step that is bounded in time only those of them who decode do: a token of each of many prompts would be read contexts and no progress.
 * 2. The first in order of service with more to compute gets up to `longest`: with the default, half of the step, whatever comes after it. So all get done in turn.
 * 3. Then, within a level of priority, whoever has least to compute, up to `longest` each: a short request behind any number of long prompts has its first token soon.
 *    All short ones first and the long one last would starve it; all in order of service would let 128k tokens stand before 3 for 60 steps.
 */
export function shareOut(running: readonly Wish[], waiting: readonly Wish[], allowance: Allowance, longest: number): Int32Array {
  const shares = new Int32Array(running.length + waiting.length)
  const wishOf = (i: number) => (i < running.length ? running[i] : waiting[i - running.length])
  /** Those that could use more, in order of service. */
  const wanting: number[] = []
  let { tokens: left, ms } = allowance
  /** Of the milliseconds one prompt gets as large a part as of the tokens. */
  const longestMs = ms * Math.min(1, longest / left)
  const give = (i: number, most: number) => {
    const { remaining, tokenMs } = wishOf(i)
    const more = Math.min(Math.min(remaining, most) - shares[i], left, affordable(ms, tokenMs))
    if (more <= 0) return
    shares[i] += more
    left -= more
    ms -= more * tokenMs
  }
  const giveLongest = (i: number) => give(i, Math.min(longest, affordable(longestMs, wishOf(i).tokenMs)))
  const begin = (i: number) => {
    if (i >= running.length || wishOf(i).tokenMs === 0) give(i, 1)
    if (wishOf(i).remaining > shares[i]) wanting.push(i)
  }
  let w = 0
  for (let r = 0; r < running.length; r++) {
    for (; w < waiting.length && precedes(waiting[w], running[r]); w++) begin(running.length + w)
    begin(r)
  }
  for (; w < waiting.length; w++) wanting.push(running.length + w)
  if (wanting.length === 0 || left === 0) return shares
  giveLongest(wanting[0])
  // A stable sort: the order of service decides among equals.
  const rest = wanting.slice(1)
  rest.sort((a, b) => wishOf(a).level - wishOf(b).level || wishOf(a).remaining - wishOf(b).remaining)
  for (const i of rest) giveLongest(i)
  return shares
}
