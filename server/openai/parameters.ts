/** From a validated body to the engine's sampling parameters, with the defaults of OpenAI, vLLM and the model's generation_config.json. */
import { isDeepStrictEqual } from 'node:util'
import type { SamplingParams } from '../../runtime/index.ts'
import {
  SAMPLING_OPTION_NAMES,
  SAMPLING_OPTIONS,
  type SamplingOption,
  type SamplingScalars,
} from '../../runtime/sampling-options.ts'
import { ApiError } from '../errors.ts'
import { nearest } from '../nearest.ts'
import type { Serving } from '../types.ts'
import { type BodySchema, UNSERVED } from './schemas.ts'
import { seedOf, seedOfChoice } from './seed.ts'

/** A body as the schema lets it through. */
export type Body = Record<string, unknown>

/** Characters of an unknown field's name that the answer repeats. */
const SHOWN = 128

/** Refuses fields that nobody knows (with the nearest known ones) and known ones that are not served. */
export function checkFields(body: Body, schema: BodySchema): void {
  for (const [key, value] of Object.entries(body)) {
    const harmless = Object.hasOwn(UNSERVED, key) ? UNSERVED[key] : undefined
    if (harmless) {
      if (value === null || value === undefined || harmless.some((same) => isDeepStrictEqual(same, value))) continue
      throw new ApiError('unsupported_parameter', `${key} is not supported by this server`, key)
    }
    if (Object.hasOwn(schema.properties, key)) continue
    const near = nearest(key, Object.keys(schema.properties), 1)
    const hint = near.length > 0 ? ` Did you mean ${near[0]}?` : ''
    const shown = key.length > SHOWN ? `${key.slice(0, SHOWN)}…` : key
    throw new ApiError('unknown_parameter', `Unrecognized request argument supplied: ${shown}.${hint}`, shown)
  }
  if (body.stream_options && !body.stream)
    throw new ApiError('invalid_request', 'stream_options needs stream to be true', 'stream_options')
}

/** Present and not null, else the fallback. */
export function given<T>(body: Body, key: string, fallback: T): T {
  return (body[key] ?? fallback) as T
}

/** What of the sampling the routes decide, each by its own fields. */
export interface Limits {
  /** max_tokens as asked for, or the route's default; the rest of the context bounds the latter. */
  maxTokens: number | undefined
  logprobs: number
  promptLogprobs: number
  /** Prompts times choices. */
  sequences: number
}

/** Entries of all token lists of all sequences of a request together: each sequence is given its own, and 80 million once filled the engine's heap. */
const LISTED_LIMIT = 2 ** 22

/** The sampling parameters of a request; `maxTokens` is still as asked for and is settled per prompt by `settleMaxTokens`. */
export function samplingOf(serving: Serving, body: Body, limits: Limits): Omit<SamplingParams, 'maxTokens'> {
  const { vocabSize, eosTokenIds } = serving.engine.info
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
  const listed = (stopTokenIds.length + (allowedTokenIds?.length ?? 0) + bias.length) * limits.sequences
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
export function checkTokens(ids: readonly number[], param: string, vocabSize: number): void {
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

function stopStrings(body: Body): string[] {
  const stop = body.stop ?? []
  return typeof stop === 'string' ? [stop] : (stop as string[])
}

/** How many tokens a prompt of this length may bring: what was asked for if it fits the context, the route's default cut to what fits otherwise. */
export function settleMaxTokens(
  asked: number | undefined,
  fallback: number,
  promptTokens: number,
  maxModelLen: number,
  param: string,
): number {
  const room = maxModelLen - promptTokens
  if (room < 1 && asked !== 0)
    throw new ApiError(
      'context_length_exceeded',
      `This model's maximum context length is ${maxModelLen} tokens. Your prompt holds ${promptTokens} tokens, which leaves no room for an answer.`,
      param,
    )
  if (asked !== undefined && asked > room)
    throw new ApiError(
      'context_length_exceeded',
      `This model's maximum context length is ${maxModelLen} tokens. However, you requested ${promptTokens + asked} tokens (${promptTokens} in the prompt, ${asked} in the completion).`,
      param,
    )
  return asked ?? Math.min(fallback, room)
}

/** n times the same sampling. Choices of one seed would all be the same one: each has its own. */
export function seededChoices(sampling: SamplingParams, n: number): SamplingParams[] {
  const { seed } = sampling
  return Array.from({ length: n }, (_, i) => ({ ...sampling, seed: seed === undefined ? undefined : seedOfChoice(seed, i) }))
}

/** What a request says of its text and its place in the queue, the same on both routes. */
export function textOptions(body: Body) {
  return {
    stop: stopStrings(body),
    includeStop: given<boolean>(body, 'include_stop_str_in_output', false),
    skipSpecialTokens: given<boolean>(body, 'skip_special_tokens', true),
    cacheSalt: given<string | undefined>(body, 'cache_salt', undefined),
    priority: given<number | undefined>(body, 'priority', undefined),
  }
}
