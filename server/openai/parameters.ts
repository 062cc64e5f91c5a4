/** From a validated body to the engine's sampling parameters, with the defaults of OpenAI, vLLM and the model's generation_config.json. */
import { isDeepStrictEqual } from 'node:util'
import type { SamplingParams } from '../../runtime/index.ts'
import { ApiError } from '../errors.ts'
import { nearest } from '../nearest.ts'
import type { Serving } from '../types.ts'
import { UNSERVED } from './schemas.ts'

/** A body as the schema lets it through. */
export type Body = Record<string, unknown>

/** Refuses fields that nobody knows (with the nearest known ones) and known ones that are not served. */
export function checkFields(body: Body, schema: { properties: Record<string, unknown> }): void {
  for (const [key, value] of Object.entries(body)) {
    const harmless = Object.hasOwn(UNSERVED, key) ? UNSERVED[key] : undefined
    if (harmless) {
      if (value === null || value === undefined || harmless.some((same) => isDeepStrictEqual(same, value))) continue
      throw new ApiError('unsupported_parameter', `${key} is not supported by this server`, key)
    }
    if (Object.hasOwn(schema.properties, key)) continue
    const near = nearest(key, Object.keys(schema.properties), 1)
    const hint = near.length > 0 ? ` Did you mean ${near[0]}?` : ''
    throw new ApiError('unknown_parameter', `Unrecognized request argument supplied: ${key}.${hint}`, key)
  }
  if (body.stream_options && !body.stream)
    throw new ApiError('invalid_request', 'stream_options needs stream to be true', 'stream_options')
}

/** Present and not null, else the fallback. */
export function given<T>(body: Body, key: string, fallback: T): T {
  return (body[key] ?? fallback) as T
}

export interface Limits {
  /** max_tokens as asked for, or the route's default; the rest of the context bounds the latter. */
  maxTokens: number | undefined
  logprobs: number
  promptLogprobs: number
}

/** The sampling parameters of a request; `maxTokens` is still as asked for and is settled per prompt by `settleMaxTokens`. */
export function samplingOf(serving: Serving, body: Body, limits: Limits): Omit<SamplingParams, 'maxTokens'> {
  const { defaults, engine } = serving
  const { vocabSize, eosTokenIds } = engine.info
  const ignoreEos = given<boolean>(body, 'ignore_eos', false)
  const minTokens = given(body, 'min_tokens', 0)
  if (limits.maxTokens !== undefined && minTokens > limits.maxTokens)
    throw new ApiError(
      'invalid_request',
      `min_tokens (${minTokens}) must not exceed max_tokens (${limits.maxTokens})`,
      'min_tokens',
    )
  const stopTokenIds = given<number[]>(body, 'stop_token_ids', [])
  const allowedTokenIds = body.allowed_token_ids ? (body.allowed_token_ids as number[]) : undefined
  for (const [key, ids] of [
    ['stop_token_ids', stopTokenIds],
    ['allowed_token_ids', allowedTokenIds ?? []],
  ] as const)
    for (const id of ids) if (id >= vocabSize) throw outOfVocabulary(key, id, vocabSize)
  const banned = new Set([...stopTokenIds, ...eosTokenIds])
  if (minTokens > 0 && allowedTokenIds?.every((id) => banned.has(id)))
    throw new ApiError(
      'invalid_request',
      'allowed_token_ids holds only tokens that end the answer, and min_tokens bans those; allow another',
      'allowed_token_ids',
    )
  return {
    minTokens,
    temperature: given(body, 'temperature', defaults.temperature ?? 1),
    topP: given(body, 'top_p', defaults.topP ?? 1),
    topK: given(body, 'top_k', defaults.topK ?? 0),
    minP: given(body, 'min_p', defaults.minP ?? 0),
    seed: given<number | undefined>(body, 'seed', undefined),
    presencePenalty: given(body, 'presence_penalty', 0),
    frequencyPenalty: given(body, 'frequency_penalty', 0),
    repetitionPenalty: given(body, 'repetition_penalty', defaults.repetitionPenalty ?? 1),
    logitBias: logitBias(given(body, 'logit_bias', {}), vocabSize),
    allowedTokenIds,
    stopTokenIds: ignoreEos ? stopTokenIds : [...new Set([...stopTokenIds, ...eosTokenIds])],
    eosTokenIds,
    ignoreEos,
    logprobs: limits.logprobs,
    promptLogprobs: limits.promptLogprobs,
  }
}

function outOfVocabulary(key: string, id: number | string, vocabSize: number): ApiError {
  return new ApiError('invalid_request', `${key}: ${id} is not a token id of this model (0 to ${vocabSize - 1})`, key)
}

function logitBias(bias: Record<string, number>, vocabSize: number): [number, number][] {
  return Object.entries(bias).map(([key, value]) => {
    const id = Number(key)
    if (!/^\d+$/.test(key) || id >= vocabSize) throw outOfVocabulary('logit_bias', key, vocabSize)
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

/** n times the same sampling. Choices of one seed would all be the same one: each takes the next. */
export function seededChoices(sampling: SamplingParams, n: number): SamplingParams[] {
  const { seed } = sampling
  return Array.from({ length: n }, (_, i) => ({ ...sampling, seed: seed === undefined ? undefined : seed + i }))
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
