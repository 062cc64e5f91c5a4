/** From a validated body to the engine's sampling parameters, with the defaults of OpenAI, vLLM and the model's generation_config.json. */
import type { SamplingParams } from '../../runtime/index.ts'
import {
  SAMPLING_OPTION_NAMES,
  SAMPLING_OPTIONS,
  type SamplingOption,
  type SamplingScalars,
} from '../../runtime/sampling-options.ts'
import { ApiError } from '../errors.ts'
import type { Serving, TokenIds } from '../types.ts'
import { type Body, given } from './parameters.ts'
import { seedOf, seedOfChoice } from './seed.ts'

/** What of the sampling the routes decide, each by its own fields. */
export interface Limits {
  /** max_tokens as asked for, or the route's default; the rest of the context bounds the latter. */
  maxTokens: number | undefined
  logprobs: number
  promptLogprobs: number
  /** Of badWordsOf. */
  badWords: Int32Array | undefined
  /** Prompts times choices. */
  sequences: number
}

/** Biases, stop tokens and bad words of all sequences of a request together: each has its own in its slot of the batch. (What is allowed is a bit per token.) */
const LISTED_LIMIT = 2 ** 22

/** The sampling parameters of a request; `maxTokens` is still as asked for and is settled per prompt by `settleMaxTokens`. */
export function samplingOf(serving: Serving, body: Body, limits: Limits): Omit<SamplingParams, 'maxTokens'> {
  const { vocabSize } = serving
  const eosTokenIds = [...serving.endTokenIds]
  const scalars = scalarsOf(body, serving.defaults)
  const ignoreEos = given<boolean>(body, 'ignore_eos', false)
  if (limits.maxTokens !== undefined && scalars.minTokens > limits.maxTokens)
    throw new ApiError(
      'invalid_request',
      `min_tokens (${scalars.minTokens}) must not exceed max_tokens (${limits.maxTokens})`,
      'min_tokens',
    )
  const stopTokenIds = tokenSet(body, 'stop_token_ids', vocabSize) ?? []
  const allowedTokenIds = tokenSet(body, 'allowed_token_ids', vocabSize)
  const banned = new Set([...stopTokenIds, ...eosTokenIds])
  if (scalars.minTokens > 0 && allowedTokenIds?.every((id) => banned.has(id)))
    throw new ApiError(
      'invalid_request',
      'allowed_token_ids holds only tokens that end the answer, and min_tokens bans those; allow another',
      'allowed_token_ids',
    )
  const bias = logitBias(given(body, 'logit_bias', {}), vocabSize)
  const listed = (stopTokenIds.length + bias.length + (limits.badWords?.length ?? 0)) * limits.sequences
  if (listed > LISTED_LIMIT)
    throw new ApiError(
      'invalid_request',
      `${limits.sequences} sequences (prompts times n) with ${listed / limits.sequences} listed tokens each are too much for one request: at most ${LISTED_LIMIT} together`,
      'n',
    )
  return {
    ...scalars,
    seed: seedOf(body),
    logitBias: bias,
    allowedTokenIds,
    badWords: limits.badWords,
    stopTokenIds: ignoreEos ? stopTokenIds : [...banned],
    eosTokenIds,
    ignoreEos,
    logprobs: limits.logprobs,
    promptLogprobs: limits.promptLogprobs,
  }
}

function scalarsOf(body: Body, defaults: Serving['defaults']): SamplingScalars {
  const scalars = {} as SamplingScalars
  for (const name of SAMPLING_OPTION_NAMES) {
    const { field, fallback, cap = Number.POSITIVE_INFINITY }: SamplingOption = SAMPLING_OPTIONS[name]
    const otherwise = defaults[name] ?? fallback
    scalars[name] = Math.min(field ? given(body, field, otherwise) : otherwise, cap)
  }
  return scalars
}

function outOfVocabulary(param: string, id: number | string, vocabSize: number): ApiError {
  return new ApiError('invalid_request', `${param}: ${id} is not a token id of this model (0 to ${vocabSize - 1})`, param)
}

/** Refuses a list of ids, which stands at `param` of the body, for the first that the model does not have. */
export function checkTokens(ids: TokenIds, param: string, vocabSize: number): void {
  const odd = ids.findIndex((id) => id >= vocabSize)
  if (odd >= 0) throw outOfVocabulary(`${param}.${odd}`, ids[odd], vocabSize)
}

/** Each id once, as the list has them. */
function tokenSet(body: Body, field: string, vocabSize: number): number[] | undefined {
  const ids = given<number[] | undefined>(body, field, undefined)
  if (ids === undefined) return undefined
  checkTokens(ids, field, vocabSize)
  return [...new Set(ids)]
}

/** Keys in one spelling only: "7" and "07" would be two biases of one token. */
function logitBias(bias: Record<string, number>, vocabSize: number): [number, number][] {
  return Object.entries(bias).map(([key, value]) => {
    const id = Number(key)
    if (!/^(0|[1-9]\d*)$/.test(key) || id >= vocabSize) throw outOfVocabulary('logit_bias', key.slice(0, 64), vocabSize)
    return [id, value]
  })
}

/** n times the same sampling. Choices of one seed would all be the same one: each has its own. */
export function seededChoices(sampling: SamplingParams, n: number): SamplingParams[] {
  const { seed } = sampling
  return Array.from({ length: n }, (_, i) => ({ ...sampling, seed: seed === undefined ? undefined : seedOfChoice(seed, i) }))
}
