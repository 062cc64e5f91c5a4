/** How a step's tokens are shared: a pure function of who wants how many. */

/** A sequence, as far as its share goes. */
export interface Wish {
  /** Of its priority: lower is better. */
  level: number
  /** In milliseconds; the order of service is that of due times. */
  due: number
  /** Tokens still to be computed. */
  remaining: number
}

/** One that waits goes before one that runs only for its priority, and only as long as that has not aged: with equal priorities nobody who decodes waits. */
const precedes = (waits: Wish, runs: Wish) => waits.level < runs.level && waits.due < runs.due

/**
 * Tokens of a step for each of `running` and then each of `waiting`, both in order of service; `budget` at most in all. What is left over nobody took within
 * these rules; the caller gives it to whoever can use it.
 * 1. Everyone who runs gets one token, so nobody who decodes waits for a prompt. Who waits and has a better priority comes before those of a worse one that are due
 *    later: who runs cannot be held up by newcomers for ever.
 * 2. The first in order of service with more to compute gets up to `longest`: with the default, half of the step, whatever comes after it. So all get done in turn.
 * 3. Then, within a level of priority, whoever has least to compute, up to `longest` each: a short request behind any number of long prompts has its first token soon.
 *    All short ones first and the long one last would starve it; all in order of service would let 128k tokens stand before 3 for 60 steps.
 */
export function shareOut(running: readonly Wish[], waiting: readonly Wish[], budget: number, longest: number): Int32Array {
  const shares = new Int32Array(running.length + waiting.length)
  const wishOf = (i: number) => (i < running.length ? running[i] : waiting[i - running.length])
  /** Those that could use more, in order of service. */
  const wanting: number[] = []
  let left = budget
  const give = (i: number, most: number) => {
    const more = Math.min(Math.min(wishOf(i).remaining, most) - shares[i], left)
    if (more <= 0) return
    shares[i] += more
    left -= more
  }
  const begin = (i: number) => {
    give(i, 1)
    if (wishOf(i).remaining > shares[i]) wanting.push(i)
  }
  let w = 0
  for (let r = 0; r < running.length; r++) {
    for (; w < waiting.length && precedes(waiting[w], running[r]); w++) begin(running.length + w)
    begin(r)
  }
  for (; w < waiting.length; w++) wanting.push(running.length + w)
  if (wanting.length === 0 || left === 0) return shares
  give(wanting[0], longest)
  // A stable sort: the order of service decides among equals.
  const rest = wanting.slice(1)
  rest.sort((a, b) => wishOf(a).level - wishOf(b).level || wishOf(a).remaining - wishOf(b).remaining)
  for (const i of rest) give(i, longest)
  return shares
}
