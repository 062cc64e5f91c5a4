/** From a native step's arrays to what each sequence is told. */
import { ROW_STATUS, type StepOutput } from '../../native/types.ts'
import type { Scheduled } from '../scheduler/scheduled.ts'
import type { Sequence } from '../scheduler/sequence.ts'
import type { FinishReason, Logprobs, SequenceOutput } from '../types.ts'
import type { Masks } from './masks.ts'
import type { PackedRequest } from './packed-request.ts'

export const NOTHING_ALLOWED =
  'nothing that the required format allows here may be sampled: allowed_token_ids, bad_words, min_tokens or the vocabulary rule out all of it'
export const NOTHING_LEFT =
  'no token is left that may be sampled: allowed_token_ids, bad_words, logit_bias, min_tokens and the vocabulary together rule out all'
export const THREAD_LOST = 'the thread that keeps answers to their format was lost; try again'

/** Why a request cannot run any more that could when it was made: what it names has gone meanwhile. */
export function goneBefore(
  { adapters, constraint }: Pick<PackedRequest, 'adapters' | 'constraint'>,
  images: { has(digest: string): boolean },
  masks: Pick<Masks, 'has'>,
): SequenceOutput['error'] {
  const unknown = adapters.find(({ digest }) => !images.has(digest))
  if (unknown) return { code: 'unknown_adapter', message: `adapter ${unknown.name} was removed before the request could run` }
  if (constraint && !masks.has(constraint.thread)) return { code: 'constraint_lost', message: THREAD_LOST }
  return undefined
}

/** The step's logprobs, not copied: one object, to which the outputs of all its sequences refer. */
export function logprobsOf({ tokens, logprob, rank, topStarts, topTokens, topLogprobs }: StepOutput): Logprobs {
  return { tokens, logprob, rank, topStarts, topTokens, topLogprobs }
}

/** The memory of the logprobs and hidden states in `outputs`, which can move to the other thread: the engine has no more use for it. */
export function transferable(outputs: readonly SequenceOutput[]): ArrayBuffer[] {
  const told = new Set<Logprobs>()
  for (const { logprobs, promptLogprobs } of outputs) {
    if (logprobs) told.add(logprobs.of)
    if (promptLogprobs) told.add(promptLogprobs.of)
  }
  const buffers = new Set(outputs.flatMap(({ pooled }) => (pooled ? [pooled.buffer] : [])))
  for (const logprobs of told) for (const { buffer } of Object.values(logprobs)) buffers.add(buffer)
  return [...buffers]
}

interface Ending {
  finish?: FinishReason
  stopToken?: number
}

/** Why a sequence ends with the token it has just got, if it does. `stopped`: it is one of its stop tokens. */
function finishReason(sequence: Sequence, token: number, stopped: boolean, maxModelLen: number): Ending {
  if (stopped) return { finish: 'stop', stopToken: token }
  if (sequence.outputLength >= sequence.request.sampling.maxTokens || sequence.tokens.length >= maxModelLen)
    return { finish: 'length' }
  return {}
}

/** The sequence gets its tokens of a step: the one of row `first`, and those behind it whose drafts stay, up to its end or to a row that has none. */
export function takeTokens(
  sequence: Sequence,
  step: StepOutput,
  first: number,
  drafted: number,
  maxModelLen: number,
): { tokens: number[]; end: Ending } {
  const tokens: number[] = []
  let end: Ending = {}
  for (let r = first; r <= first + drafted && step.rowStatus[r] === 0 && !end.finish; r++) {
    tokens.push(step.tokens[r])
    sequence.tokens.push(step.tokens[r])
    end = finishReason(sequence, step.tokens[r], step.stopped[r] === 1, maxModelLen)
  }
  return { tokens, end }
}

/** Whether a row has no token, and never will. */
export function isFault(status: number): boolean {
  return status !== 0 && status !== ROW_STATUS.maskLate && status !== ROW_STATUS.notReached
}

/** What may come next of the step's sequence `b`. */
export function foundOf({ drafts }: StepOutput, b: number): Sequence['found'] {
  return drafts && drafts[2 * b] > 0 ? { count: drafts[2 * b], first: drafts[2 * b + 1] } : undefined
}

/** The logits of rows [from, to), where the step returned them. Shape: [to − from], [vocab] each. */
export function logitsOf({ logits, tokens }: StepOutput, from: number, to: number, vocab: number): Float32Array[] | undefined {
  if (!logits) return undefined
  const width = logits.length / tokens.length
  return Array.from({ length: to - from }, (_, i) => logits.slice((from + i) * width, (from + i) * width + vocab))
}

/** For whoever runs the server. */
export function outgrownText(sequence: Sequence, blocks: number): string {
  return (
    `a request of ${sequence.tokens.length} tokens has outgrown the whole pool of ${blocks} blocks and ended with stop_reason ` +
    'pool_exhausted: a larger pool (--pool) or a shorter context (--max-model-len) prevents that; this is told once'
  )
}

/** Each item's sum of hidden states, where it asked for one. Shape: [hidden] each. */
export function sumsOf(scheduled: readonly Scheduled[], { sums }: StepOutput): (Float64Array | undefined)[] {
  if (!sums) return []
  const width = sums.length / scheduled.filter(({ summed }) => summed > 0).length
  let at = 0
  return scheduled.map(({ summed }) => {
    if (summed === 0) return undefined
    at += width
    return sums.subarray(at - width, at)
  })
}

/** Takes a step's sum into that of the sequence; in float64, so that how its prompt was cut into chunks does not show in a float32. */
export function addSum(sequence: Sequence, { sumFrom }: Scheduled, sum: Float64Array): void {
  if (!sum.every(Number.isFinite)) sequence.odd = true
  if (sequence.request.pooling === 'each') {
    sequence.rows ??= new Float32Array(sequence.promptLength * sum.length)
    sequence.rows.set(sum, sumFrom * sum.length)
    return
  }
  // What comes first begins anew: it may have been put back since.
  const begins = sequence.request.pooling !== 'mean' || sumFrom === 0
  sequence.sum = begins ? sum.slice() : sequence.sum?.map((value, i) => value + sum[i])
}

/** What a pooled sequence gives. Shape: [hidden]; of each token [tokens, hidden]. */
export function pooledOf({ sum = NO_SUM, rows, request, promptLength }: Sequence): Float32Array<ArrayBuffer> {
  if (rows) return rows
  const count = request.pooling === 'mean' ? promptLength : 1
  return Float32Array.from(sum, (value) => value / count)
}

const NO_SUM = new Float64Array(0)

/** When the adapters of a sequence were brought into the pool, all together; those that lay there when it came are none of it. */
function loadOf({ loads, request }: Sequence): SequenceOutput['load'] {
  let load: SequenceOutput['load']
  for (const { loadedFrom, arrivedAt } of loads)
    if (arrivedAt !== undefined && arrivedAt >= request.arrival)
      load = { from: Math.min(loadedFrom, load?.from ?? loadedFrom), to: Math.max(arrivedAt, load?.to ?? 0) }
  return load
}

/** What it has cost so far, and what is told once, with a sequence's first output. */
export function withStart(sequence: Sequence, output: SequenceOutput): SequenceOutput {
  output.deviceMs = sequence.deviceMs
  if (sequence.reportedStart) return output
  sequence.reportedStart = true
  output.cachedTokens = sequence.cachedTokens ?? 0
  output.scheduledAt = sequence.scheduledAt
  const load = loadOf(sequence)
  if (load) output.load = load
  return output
}
