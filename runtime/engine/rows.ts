/** The logits rows of a step: which sequence each belongs to, and whether it samples or scores a prompt token. */
import type { Scheduled } from '../scheduler/scheduler.ts'
import type { Sequence } from '../scheduler/sequence.ts'

export interface LogitsRow {
  sequence: Sequence
  /** Row among the step's T packed tokens. */
  at: number
  /** Prompt token to score with this row's logits; -1 = sample the next token. */
  target: number
}

/** Rows of one scheduled sequence whose first token is packed row `start`, ascending. */
export function logitsRows({ sequence, count }: Scheduled, start: number): LogitsRow[] {
  const rows: LogitsRow[] = []
  const end = sequence.computed + count
  if (sequence.promptLogprobs)
    // Row p scores token p + 1. After a preemption positions already scored are computed again, but not scored again.
    for (
      let p = Math.max(sequence.computed, sequence.promptLogprobs.length - 1);
      p < Math.min(end, sequence.promptLength - 1);
      p++
    )
      rows.push({ sequence, at: start + p - sequence.computed, target: sequence.tokens[p + 1] })
  if (end === sequence.tokens.length) rows.push({ sequence, at: start + count - 1, target: -1 })
  return rows
}
