/** What a step does for a sequence, and the sequence's state while it does. */
import type { Sequence } from './sequence.ts'

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

/** From here on the sequence's next `count` tokens are a step's. */
export function begin(sequence: Sequence, count: number): Scheduled {
  sequence.scheduledAt ??= Date.now()
  const from = sequence.computed
  const end = from + count
  const samples = end === sequence.length
  // Row p scores token p + 1. After a preemption positions already scored are computed again, but not scored again.
  const scoreFrom = Math.max(from, sequence.scoredTo)
  const scored = sequence.promptLogprobs ? Math.max(0, Math.min(end, sequence.promptLength - 1) - scoreFrom) : 0
  if (scored > 0) sequence.scoredTo = scoreFrom + scored
  sequence.computed = end
  sequence.inFlight++
  if (samples) sequence.pending++
  return { sequence, from, count, scoreFrom, scored, samples }
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
