/** The body of POST /generate and /generate_stream: the fields of Text Generation Inference and of LoRAX. */
import { MAX_LOGPROBS } from '../../runtime/sampling-options.ts'
import { type BodySchema, boolean, integer, nullable, string } from '../openai/schemas.ts'

export const MAX_BEST_OF = 128

const number = (range: object) => nullable({ type: 'number', ...range })

export const PARAMETERS = {
  adapter_id: { ...string, description: 'An adapter by its name; the header x-lora-adapter goes before it.' },
  adapter_source: string,
  api_token: string,
  merged_adapters: {
    ...nullable({
      type: 'object',
      required: ['ids'],
      properties: {
        ids: { type: 'array', minItems: 1, maxItems: 16, items: { type: 'string', minLength: 1 } },
        weights: nullable({ type: 'array', maxItems: 16, items: { type: 'number', minimum: -1e6, maximum: 1e6 } }),
        merge_strategy: string,
        density: number({}),
        majority_sign_method: string,
      },
      additionalProperties: false,
    }),
    description: 'Adapters mixed by weight (1 each where none are given).',
  },
  best_of: integer(1, MAX_BEST_OF),
  temperature: number({ exclusiveMinimum: 0, maximum: 2 }),
  repetition_penalty: number({ minimum: 0.01 }),
  frequency_penalty: number({ minimum: -2, maximum: 2 }),
  top_k: integer(0),
  top_p: number({ exclusiveMinimum: 0, maximum: 1 }),
  typical_p: number({ exclusiveMinimum: 0, maximum: 1 }),
  do_sample: boolean,
  max_new_tokens: integer(1),
  ignore_eos_token: boolean,
  return_full_text: boolean,
  stop: nullable({ type: 'array', maxItems: 64, items: { type: 'string', minLength: 1, maxLength: 1024 } }),
  truncate: integer(1),
  watermark: boolean,
  details: boolean,
  decoder_input_details: boolean,
  top_n_tokens: integer(0, MAX_LOGPROBS),
  return_k_alternatives: integer(0, MAX_LOGPROBS),
  apply_chat_template: boolean,
  seed: nullable({ type: 'integer', format: 'int64' }),
  grammar: nullable({ type: 'object', required: ['type', 'value'], properties: { type: { type: 'string' } } }),
  response_format: nullable({ type: 'object', required: ['type'], properties: { type: { type: 'string' } } }),
}

export const generateSchema: BodySchema = {
  type: 'object',
  examples: [{ inputs: 'Once upon a time', parameters: { max_new_tokens: 16 } }],
  required: ['inputs'],
  properties: {
    inputs: { type: 'string' },
    parameters: nullable({ type: 'object', properties: PARAMETERS, additionalProperties: true }),
    stream: boolean,
  },
}
