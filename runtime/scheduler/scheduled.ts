/** What a step does for a sequence, and the sequence's state while it does. */
import type { Sequence } from './sequence.ts'
import { addWork, noWork, type Work } from './step-time.ts'

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
  /** The last so many of `count` are a draft (speculation.ts): the tokens before each of them are sampled too. */
  drafted: number
  /** The final hidden states at positions [sumFrom, sumFrom + summed) are summed. */
  sumFrom: number
  summed: number
}

/** Of the sequence's next `count` tokens: the first position that is scored, and how many are. Row p scores token p + 1. */
function scoring(sequence: Sequence, count: number): { scoreFrom: number; scored: number } {
  // After a preemption positions already scored are computed again, but not scored again.
  const scoreFrom = Math.max(sequence.computed, sequence.scoredTo)
  const last = Math.min(sequence.computed + count, sequence.promptLength - 1)
  return { scoreFrom, scored: sequence.scores ? Math.max(0, last - scoreFrom) : 0 }
}

/** Of tokens [from, end) of a pooled sequence, those whose hidden states it is made of. */
function summing({ request, promptLength }: Sequence, from: number, end: number): { sumFrom: number; summed: number } {
  switch (request.pooling) {
    case 'mean':
    case 'each':
      return { sumFrom: from, summed: end - from }
    case 'first':
      return { sumFrom: 0, summed: from === 0 ? 1 : 0 }
    case 'last':
      return { sumFrom: promptLength - 1, summed: end === promptLength ? 1 : 0 }
    default:
      return { sumFrom: 0, summed: 0 }
  }
}

/** Rows of logits, beyond one, that the sequence's next `count` tokens have in a step. */
export function rowsBeyondOne(sequence: Sequence, count: number): number {
  if (!sequence.scores) return 0
  const samples = sequence.computed + count === sequence.length ? 1 : 0
  return Math.max(0, scoring(sequence, count).scored + samples - 1)
}

/**
 * The most of its next `count` tokens, and one at least, with which it has no more than `spare` rows of logits beyond one. A step gives one sum of hidden states a sequence, so where
 * each token's is wanted it takes a token a step, as if it decoded.
 */
export function withinRows(sequence: Sequence, count: number, spare: number): number {
  if (sequence.request.pooling === 'each') return Math.min(count, 1)
  if (rowsBeyondOne(sequence, count) <= spare) return count
  return scoring(sequence, count).scoreFrom + 1 + spare - sequence.computed
}

/** From here on the sequence's next `count` tokens are a step's, and `drafted` behind them. */
export function begin(sequence: Sequence, count: number, drafted = 0): Scheduled {
  sequence.scheduledAt ??= Date.now()
  const from = sequence.computed
  const end = from + count
  const samples = end === sequence.length && sequence.request.pooling === undefined
  const { scoreFrom, scored } = scoring(sequence, count)
  if (scored > 0) sequence.scoredTo = scoreFrom + scored
  sequence.computed = end
  sequence.inFlight++
  if (samples) sequence.pending++
  return { sequence, from, count: count + drafted, scoreFrom, scored, samples, drafted, ...summing(sequence, from, end) }
}

/** What a step computes in all. */
export function workOf(scheduled: readonly Scheduled[]): Work {
  const work = noWork()
  for (const { from, count, scored, samples, drafted } of scheduled) {
    addWork(work, from, count - drafted, scored + (samples ? 1 : 0))
    work.rows += drafted
  }
  return work
}

/** Shares a step's milliseconds among its sequences, by their tokens. */
export function shareTime(scheduled: readonly Scheduled[], tokens: number, ms: number): void {
  for (const { sequence, count } of scheduled) sequence.deviceMs += (ms * count) / tokens
}

/** The step is over. */
export function landed({ sequence, samples }: Scheduled): void {
  sequence.inFlight--
  if (samples) sequence.pending--
}

/** The step is over and all it did is void. Of two steps the later one goes first. */
export function undo(item: Scheduled): void {
  landed(item)
  item.sequence.computed = item.from
  if (item.scored > 0) item.sequence.scoredTo = item.scoreFrom
}
