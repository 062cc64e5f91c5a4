/** From a native step's arrays to what each sequence is told. */
import type { StepOutput } from '../../native/types.ts'
import type { Sequence } from '../scheduler/sequence.ts'
import type { FinishReason, SequenceOutput, TokenLogprob, TopLogprob } from '../types.ts'

/** Logprobs of row `r`, as the step reports them. */
export function rowLogprob(step: StepOutput, r: number): TokenLogprob {
  const top: TopLogprob[] = []
  for (let i = step.topStarts[r]; i < step.topStarts[r + 1]; i++)
    top.push({ token: step.topTokens[i], logprob: step.topLogprobs[i] })
  return { token: step.tokens[r], logprob: step.logprob[r], rank: step.rank[r], top }
}

/** Why a sequence ends with the token it has just got, if it does. `stopped`: it is one of its stop tokens. */
export function finishReason(
  sequence: Sequence,
  token: number,
  stopped: boolean,
  maxModelLen: number,
): { finish?: FinishReason; stopToken?: number } {
  if (stopped) return { finish: 'stop', stopToken: token }
  if (sequence.outputLength >= sequence.request.sampling.maxTokens || sequence.tokens.length >= maxModelLen)
    return { finish: 'length' }
  return {}
}

/** What is told once, with a sequence's first output. */
export function withStart(sequence: Sequence, output: SequenceOutput): SequenceOutput {
  if (sequence.reportedStart) return output
  sequence.reportedStart = true
  output.cachedTokens = sequence.cachedTokens ?? 0
  output.scheduledAt = sequence.scheduledAt
  return output
}
