/**
 * The scalar sampling options, one row each. A new one is a row here, its name at the same place of native/step/sampling_options.h (a test compares the two),
 * and what the kernels do with it: the schemas of the request bodies, their defaults, the checks and the packing follow from the row.
 */

/** What a request body and generation_config.json may say of an option. */
export interface SamplingOption {
  /** Its name in a body, as OpenAI or vLLM have it. Absent: each route has fields of its own from which it follows. */
  field?: string
  type: 'number' | 'integer'
  minimum?: number
  exclusiveMinimum?: number
  maximum: number
  /** For a request that says nothing. */
  fallback: number
  /** generation_config.json, where it has the field, gives another default, as in vLLM. */
  ofModel?: true
  /** What larger values mean as well: 32-bit integers cross to C++, and 2^32 + 1 tokens to choose from once wrapped around to 1. */
  cap?: number
}

const INT32 = { maximum: Number.MAX_SAFE_INTEGER, cap: 2 ** 31 - 1 } as const

/** The most logprobs of a position that can be asked for. */
export const MAX_LOGPROBS = 20

/** By their names in SamplingParams, in the order in which they are packed. */
export const SAMPLING_OPTIONS = {
  temperature: { field: 'temperature', type: 'number', minimum: 0, maximum: 2, fallback: 1, ofModel: true },
  topP: { field: 'top_p', type: 'number', exclusiveMinimum: 0, maximum: 1, fallback: 1, ofModel: true },
  /** Below 1: all. */
  topK: { field: 'top_k', type: 'integer', minimum: -1, ...INT32, fallback: 0, ofModel: true },
  minP: { field: 'min_p', type: 'number', minimum: 0, maximum: 1, fallback: 0, ofModel: true },
  presencePenalty: { field: 'presence_penalty', type: 'number', minimum: -2, maximum: 2, fallback: 0 },
  frequencyPenalty: { field: 'frequency_penalty', type: 'number', minimum: -2, maximum: 2, fallback: 0 },
  /** Logits are divided by it: 1e-300, which is 0 as a float, would leave none that is finite. */
  repetitionPenalty: { field: 'repetition_penalty', type: 'number', minimum: 0.01, maximum: 100, fallback: 1, ofModel: true },
  /** Tokens before which nothing may end the sequence. */
  minTokens: { field: 'min_tokens', type: 'integer', minimum: 0, ...INT32, fallback: 0 },
  /** -1 none, 0 the chosen token's, n the n likeliest too. */
  logprobs: { type: 'integer', minimum: -1, maximum: MAX_LOGPROBS, fallback: -1 },
  /** The same of each prompt position. Disables prefix-cache reads for the request. */
  promptLogprobs: { field: 'prompt_logprobs', type: 'integer', minimum: 0, maximum: MAX_LOGPROBS, fallback: -1 },
} as const satisfies Record<string, SamplingOption>

export type SamplingOptionName = keyof typeof SAMPLING_OPTIONS
/** The scalar part of SamplingParams. */
export type SamplingScalars = Record<SamplingOptionName, number>

export const SAMPLING_OPTION_NAMES = Object.keys(SAMPLING_OPTIONS) as SamplingOptionName[]

/** What a sequence brings to the addon when it is admitted: one number per option, in the table's order (`SamplingOption` in native/step/sampling_options.h). */
export function packOptions(params: SamplingScalars): Float64Array {
  return Float64Array.from(SAMPLING_OPTION_NAMES, (name) => params[name])
}

/** What is wrong with a value of an option, as the end of a sentence (`must be …`); undefined if nothing is. */
export function complaint(option: SamplingOption, value: unknown): string | undefined {
  const { type, minimum, exclusiveMinimum, maximum } = option
  const low = minimum === undefined ? `above ${exclusiveMinimum}` : `from ${minimum}`
  const right =
    typeof value === 'number' &&
    (type === 'number' ? Number.isFinite(value) : Number.isInteger(value)) &&
    (minimum === undefined || value >= minimum) &&
    (exclusiveMinimum === undefined || value > exclusiveMinimum) &&
    value <= maximum
  return right ? undefined : `must be ${type === 'number' ? 'a number' : 'an integer'} ${low} to ${maximum}`
}
