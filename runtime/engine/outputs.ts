/** From a native step's arrays to what each sequence is told. */
import type { StepOutput } from '../../native/types.ts'
import type { Sequence } from '../scheduler/sequence.ts'
import type { FinishReason, Logprobs, SequenceOutput } from '../types.ts'

/** The step's logprobs, not copied: one object, to which the outputs of all its sequences refer. */
export function logprobsOf({ tokens, logprob, rank, topStarts, topTokens, topLogprobs }: StepOutput): Logprobs {
  return { tokens, logprob, rank, topStarts, topTokens, topLogprobs }
}

/** The memory of the logprobs in `outputs`, which can move to the other thread: the engine has no more use for it. */
export function transferable(outputs: readonly SequenceOutput[]): ArrayBuffer[] {
  const told = new Set<Logprobs>()
  for (const { logprobs, promptLogprobs } of outputs) {
    if (logprobs) told.add(logprobs.of)
    if (promptLogprobs) told.add(promptLogprobs.of)
  }
  const buffers = new Set<ArrayBuffer>()
  for (const logprobs of told) for (const { buffer } of Object.values(logprobs)) buffers.add(buffer)
  return [...buffers]
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
