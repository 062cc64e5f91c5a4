/** From a body of TGI's or LoRAX's /generate to a completion body, and back from that one's errors. */
import type { WantedMix } from '../adapter-choice.ts'
import { ApiError } from '../errors.ts'
import { nearest } from '../nearest.ts'
import { type Body, given, shown } from '../openai/parameters.ts'
import { copySeed } from '../openai/seed.ts'
import { PARAMETERS } from './schema.ts'

type Fields = Record<string, unknown>

/** TGI's max_new_tokens. */
export const DEFAULT_NEW_TOKENS = 100

/** LoRAX's name of no adapter. */
const BASE = '__base_model__'

/** Where adapters are that LoRAX calls by a source; here they are known by name. */
const SOURCES = ['local', 'hub']

export const parametersOf = (body: Body) => given<Fields>(body, 'parameters', {})

const at = (field: string) => `parameters.${field}`

const unsupported = (field: string, why: string) =>
  new ApiError('unsupported_parameter', `${at(field)} is not supported by this server: ${why}`, at(field))

/** Refuses what is not served, by name. */
export function checkParameters(body: Body): void {
  const parameters = parametersOf(body)
  for (const name of Object.keys(parameters)) {
    if (Object.hasOwn(PARAMETERS, name) || parameters[name] === null) continue
    const [near] = nearest(name, Object.keys(PARAMETERS), 1)
    throw new ApiError(
      'unknown_parameter',
      `Unrecognized request argument supplied: ${at(shown(name))}.${near ? ` Did you mean ${near}?` : ''}`,
      at(shown(name)),
    )
  }
  if (parameters.watermark) throw unsupported('watermark', 'leave it out')
  if (given(parameters, 'typical_p', 1) < 1) throw unsupported('typical_p', 'use top_p, or min_p on /v1/completions')
  if (parameters.api_token) throw unsupported('api_token', "the hub is asked with the server's own token")
  if (parameters.apply_chat_template) throw unsupported('apply_chat_template', 'use /v1/chat/completions')
  const source = given(parameters, 'adapter_source', 'local')
  if (!SOURCES.includes(source as string))
    throw unsupported('adapter_source', `adapters come from ${SOURCES.join(' or ')}, not ${shown(String(source))}`)
}

/** undefined: the base, or what a header says. */
export function adaptersOf(body: Body): WantedMix | undefined {
  const parameters = parametersOf(body)
  const id = given<string | undefined>(parameters, 'adapter_id', undefined)
  const merged = given<Fields | undefined>(parameters, 'merged_adapters', undefined)
  if (merged === undefined) {
    if (id === undefined || id === '' || id === BASE) return undefined
    return { adapters: [{ name: id, weight: 1 }], param: at('adapter_id') }
  }
  const param = at('merged_adapters')
  if (id !== undefined) throw new ApiError('invalid_request', `${at('adapter_id')} and ${param} cannot both be given`, param)
  const strategy = given<string>(merged, 'merge_strategy', 'linear')
  if (strategy !== 'linear')
    throw new ApiError(
      'unsupported_parameter',
      `${param}.merge_strategy ${shown(strategy)} is not supported; adapters are mixed by linear`,
      `${param}.merge_strategy`,
    )
  const ids = merged.ids as string[]
  const weights = given<number[]>(merged, 'weights', [])
  if (weights.length > 0 && weights.length !== ids.length)
    throw new ApiError(
      'invalid_request',
      `${param}.weights must have one for each of the ${ids.length} ids, or none`,
      `${param}.weights`,
    )
  return { adapters: ids.map((name, i) => ({ name, weight: weights[i] ?? 1 })), param }
}

/** Whether tokens are drawn: what changes the draw asks for it, as in LoRAX and TGI. */
export function samples(body: Body): boolean {
  const { do_sample, temperature, top_k, top_p } = parametersOf(body)
  const warped = (temperature != null && temperature !== 1) || (top_k != null && top_k !== 0) || (top_p != null && top_p !== 1)
  return do_sample === true || warped
}

/** Tokens beside each that are told with their logprobs. */
export const alternatives = (parameters: Fields) =>
  Math.max(given(parameters, 'top_n_tokens', 0), given(parameters, 'return_k_alternatives', 0))

/** Throws ApiError, which names this API's fields. */
export function completionBodyOf(body: Body): Body {
  const parameters = parametersOf(body)
  const draws = samples(body)
  const best = given(parameters, 'best_of', 1)
  if (best > 1 && !draws) throw new ApiError('invalid_request', `${at('best_of')} needs sampling: set do_sample`, at('best_of'))
  const completion: Body = {
    prompt: body.inputs,
    n: best,
    max_tokens: given(parameters, 'max_new_tokens', null),
    logprobs: alternatives(parameters),
    temperature: draws ? given(parameters, 'temperature', 1) : 0,
    top_p: draws ? given(parameters, 'top_p', 1) : 1,
    top_k: draws ? given(parameters, 'top_k', 0) : 0,
    min_p: 0,
    repetition_penalty: given(parameters, 'repetition_penalty', 1),
    frequency_penalty: given(parameters, 'frequency_penalty', 0),
    presence_penalty: 0,
    ignore_eos: given(parameters, 'ignore_eos_token', false),
    // The text ends with what ended it.
    stop: given(parameters, 'stop', []),
    include_stop_str_in_output: true,
    truncate_prompt_tokens: given(parameters, 'truncate', null),
    seed: given(parameters, 'seed', null),
    prompt_logprobs: parameters.details && parameters.decoder_input_details ? 0 : null,
  }
  const structured = structuredOf(parameters)
  if (structured) completion.structured_outputs = structured
  copySeed(parameters, completion)
  return completion
}

/** TGI's `grammar` and LoRAX's `response_format` as vLLM's structured_outputs. */
function structuredOf(parameters: Fields): object | undefined {
  const grammar = given<Fields | undefined>(parameters, 'grammar', undefined)
  if (grammar) {
    if (grammar.type === 'json' || grammar.type === 'json_object') return { json: grammar.value }
    if (grammar.type === 'regex') return { regex: grammar.value }
    throw unsupported('grammar', `its type must be json or regex, not ${shown(String(grammar.type))}`)
  }
  const format = given<Fields | undefined>(parameters, 'response_format', undefined)
  if (!format) return undefined
  if (format.type !== 'json_object') throw unsupported('response_format', `its type must be json_object`)
  return format.schema == null ? { json_object: true } : { json: format.schema }
}

/** What completions call otherwise. */
const NAMES: readonly [completion: RegExp, here: string][] = [
  [/^prompt_logprobs/, 'parameters.decoder_input_details'],
  [/^prompt/, 'inputs'],
  [/^max_tokens/, 'parameters.max_new_tokens'],
  [/^n$/, 'parameters.best_of'],
  [/^logprobs/, 'parameters.top_n_tokens'],
  [/^ignore_eos/, 'parameters.ignore_eos_token'],
  [/^truncate_prompt_tokens/, 'parameters.truncate'],
  [/^structured_outputs/, 'parameters.grammar'],
  [/^(temperature|top_p|top_k|repetition_penalty|frequency_penalty|seed|stop)/, 'parameters.$1'],
]

/** An error about a completion body as this API's client is told it. */
export function renamed(error: unknown): unknown {
  if (!(error instanceof ApiError) || error.param === null) return error
  const { param } = error
  const found = NAMES.find(([completion]) => completion.test(param))
  return found ? error.about(param.replace(...found), param) : error
}
