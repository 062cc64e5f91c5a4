/** The logprobs of one choice, or of its prompt, as they come. */
import type { LogprobRows, Logprobs } from '../../runtime/index.ts'

type Numbers = Int32Array | Float32Array

const NOTHING: Logprobs = {
  tokens: new Int32Array(0),
  logprob: new Float32Array(0),
  rank: new Int32Array(0),
  topStarts: new Int32Array(1),
  topTokens: new Int32Array(0),
  topLogprobs: new Float32Array(0),
}

/**
 * Compact, 8 bytes for each of the likeliest: a step's arrays belong to all its sequences, so that keeping one row of them would keep all. The answer's text, some 70
 * bytes for each, is made only while it is written.
 */
export class LogprobList {
  private readonly all: Logprobs = { ...NOTHING }
  private length = 0

  append({ of, from, to }: LogprobRows): void {
    const { all, length } = this
    const topAt = all.topStarts[length]
    const [topFrom, topTo] = [of.topStarts[from], of.topStarts[to]]
    all.tokens = put(all.tokens, length, of.tokens.subarray(from, to))
    all.logprob = put(all.logprob, length, of.logprob.subarray(from, to))
    all.rank = put(all.rank, length, of.rank.subarray(from, to))
    all.topTokens = put(all.topTokens, topAt, of.topTokens.subarray(topFrom, topTo))
    all.topLogprobs = put(all.topLogprobs, topAt, of.topLogprobs.subarray(topFrom, topTo))
    all.topStarts = put(all.topStarts, length + 1, of.topStarts.subarray(from + 1, to + 1))
    this.length += to - from
    for (let i = length + 1; i <= this.length; i++) all.topStarts[i] += topAt - topFrom
  }

  get rows(): LogprobRows {
    return { of: this.all, from: 0, to: this.length }
  }
}

/** `array` with `more` from place `at` on; twice as long, at least, where that is past its end, so that a long list is copied a few times only. */
function put<T extends Numbers>(array: T, at: number, more: T): T {
  const end = at + more.length
  let roomy = array
  if (end > array.length) {
    roomy = new (array.constructor as { new (length: number): T })(Math.max(end, 2 * array.length))
    roomy.set(array)
  }
  roomy.set(more, at)
  return roomy
}
