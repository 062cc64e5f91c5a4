/** One sequence, run on an engine to its end. */
import type { Engine, SequenceOutput, SequenceRequest } from '../../runtime/types.ts'
import { greedy } from './greedy.ts'
import { type TokenLogprob, tokenLogprobs } from './logprobs.ts'

export interface Answer {
  tokens: number[]
  logprobs: TokenLogprob[]
  /** One per prompt token, null for the first; empty if none are asked for. */
  promptLogprobs: (TokenLogprob | null)[]
  cachedTokens: number
  finish: SequenceOutput['finish']
  error?: string
}

let asked = 0

/** Runs one sequence to its end: greedy for eight tokens without logits, but for `changes`. */
export function ask(
  engine: Engine,
  promptIds: number[],
  changes: Partial<SequenceRequest['sampling']> = {},
  adapters: SequenceRequest['adapters'] = [],
): Promise<Answer> {
  const sampling = { ...greedy(8), ...changes }
  const answer: Answer = { tokens: [], logprobs: [], promptLogprobs: [], cachedTokens: 0, finish: undefined }
  return new Promise((resolve) => {
    engine.submit({ id: `ask-${asked++}`, promptIds, sampling, adapters, arrival: Date.now() }, (output) => {
      answer.tokens.push(...output.tokens)
      answer.logprobs.push(...tokenLogprobs(output.logprobs))
      if (output.promptLogprobs && answer.promptLogprobs.length === 0) answer.promptLogprobs.push(null)
      answer.promptLogprobs.push(...tokenLogprobs(output.promptLogprobs))
      answer.cachedTokens = output.cachedTokens ?? answer.cachedTokens
      answer.finish = output.finish
      answer.error = output.error?.message
      if (output.finish) resolve(answer)
    })
  })
}
