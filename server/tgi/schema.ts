/** The body of POST /generate and /generate_stream: the fields of Text Generation Inference and of LoRAX. */
import { MAX_LOGPROBS } from '../../runtime/sampling-options.ts'
import { type BodySchema, boolean, integer, nullable, string } from '../openai/schemas.ts'
import { anyOf, anything, documentedAs, nothing, object, oneOf, only, orNull } from '../openapi/describe.ts'

export const MAX_BEST_OF = 128

const number = (range: object) => nullable({ type: 'number', ...range })

const pattern = { type: 'string', minLength: 1 }

export const PARAMETERS = {
  adapter_id: { ...string, description: 'An adapter by its name; the header x-lora-adapter goes before it.' },
  adapter_source: documentedAs(string, oneOf('local', 'hub', null)),
  api_token: documentedAs(string, nothing),
  merged_adapters: {
    ...nullable({
      type: 'object',
      required: ['ids'],
      properties: {
        ids: { type: 'array', minItems: 1, maxItems: 16, items: { type: 'string', minLength: 1 } },
        weights: nullable({ type: 'array', maxItems: 16, items: { type: 'number', minimum: -1e6, maximum: 1e6 } }),
        merge_strategy: documentedAs(string, oneOf('linear', null)),
        density: number({}),
        majority_sign_method: string,
      },
      additionalProperties: false,
    }),
    description: 'Adapters mixed by weight (1 each where none are given).',
  },
  best_of: integer(1, MAX_BEST_OF),
  temperature: number({ exclusiveMinimum: 0, maximum: 2 }),
  repetition_penalty: number({ minimum: 0.01, maximum: 100 }),
  frequency_penalty: number({ minimum: -2, maximum: 2 }),
  top_k: integer(0),
  top_p: number({ exclusiveMinimum: 0, maximum: 1 }),
  typical_p: documentedAs(number({ exclusiveMinimum: 0, maximum: 1 }), orNull(only(1))),
  do_sample: boolean,
  max_new_tokens: integer(1),
  ignore_eos_token: boolean,
  return_full_text: boolean,
  stop: nullable({ type: 'array', maxItems: 64, items: { type: 'string', minLength: 1, maxLength: 1024 } }),
  truncate: integer(1),
  watermark: documentedAs(boolean, orNull(only(false))),
  details: boolean,
  decoder_input_details: boolean,
  top_n_tokens: integer(0, MAX_LOGPROBS),
  return_k_alternatives: integer(0, MAX_LOGPROBS),
  apply_chat_template: documentedAs(boolean, orNull(only(false))),
  seed: nullable({ type: 'integer', format: 'int64' }),
  grammar: documentedAs(
    nullable({ type: 'object', required: ['type', 'value'], properties: { type: { type: 'string' } } }),
    anyOf(
      object({ type: oneOf('json', 'json_object'), value: anything }),
      object({ type: only('regex'), value: pattern }),
      nothing,
    ),
  ),
  response_format: documentedAs(
    nullable({ type: 'object', required: ['type'], properties: { type: { type: 'string' } } }),
    orNull(object({ type: only('json_object'), 'schema?': orNull(anything) })),
  ),
}

export const generateSchema: BodySchema = {
  type: 'object',
  examples: [{ inputs: 'Once upon a time', parameters: { max_new_tokens: 16 } }],
  required: ['inputs'],
  properties: {
    inputs: { type: 'string' },
    // Of others each that holds something is refused, by its name.
    parameters: documentedAs(
      nullable({ type: 'object', properties: PARAMETERS, additionalProperties: true }),
      orNull({ type: 'object', properties: PARAMETERS, additionalProperties: nothing }),
    ),
    stream: boolean,
  },
}
