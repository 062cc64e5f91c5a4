/** JSON schemas of the bodies that give hidden states, labels and scores: OpenAI's, vLLM's, Cohere's and Jina's fields. */
import { type BodySchema, boolean, nullable, string } from '../openai/schemas.ts'
import type { Serving } from '../types.ts'

/** OpenAI's own limit of an embeddings request. */
const MOST_INPUTS = 2048

const tokenIds = { type: 'array', minItems: 1, items: { type: 'integer', minimum: 0, maximum: 2 ** 31 - 1 } }
const list = (items: object) => ({ type: 'array', minItems: 1, maxItems: MOST_INPUTS, items })
const TEXT = { type: 'string' }

const INPUT = {
  description: 'Text or token ids, one input or several.',
  anyOf: [TEXT, list(TEXT), tokenIds, list(tokenIds)],
}
const ENCODING = nullable({ type: 'string', enum: ['float', 'base64'] })
/** A document of /rerank: Cohere's, Jina's and vLLM's. */
const DOCUMENT = { anyOf: [TEXT, { type: 'object', required: ['text'], properties: { text: TEXT } }] }

const COMMON = {
  model: {
    ...string,
    description: "The base's name, an adapter's, or `base:adapter`. The header x-lora-adapter goes before it.",
  },
  truncate_prompt_tokens: nullable({
    type: 'integer',
    minimum: -1,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'Tokens that are kept of each input, its first ones; -1: as many as the context holds.',
  }),
  priority: nullable({ type: 'integer', minimum: -(2 ** 31), maximum: 2 ** 31 - 1 }),
  request_id: nullable({ type: 'string', maxLength: 256 }),
  cache_salt: nullable({ type: 'string', minLength: 1, maxLength: 1024 }),
  user: string,
}
const OF_INPUTS = { ...COMMON, input: INPUT, add_special_tokens: boolean }

const body = (required: string[], properties: BodySchema['properties'], example: object): BodySchema => ({
  type: 'object',
  examples: [example],
  required,
  properties,
})

export const embeddingsSchema = ({ model, engine }: Serving): BodySchema =>
  body(
    ['input'],
    {
      ...OF_INPUTS,
      encoding_format: ENCODING,
      // vLLM's two names of one thing; what is not said follows from the model's folder.
      normalize: boolean,
      use_activation: boolean,
      // What vLLM's answers are without them, and ours always.
      embed_dtype: nullable({ type: 'string', enum: ['float32'] }),
      endianness: nullable({ type: 'string', enum: ['native', 'little'] }),
      dimensions: nullable({
        type: 'integer',
        minimum: 1,
        maximum: engine.info.hiddenSize ?? Number.MAX_SAFE_INTEGER,
        description: 'As many of the first elements are kept, and brought to length 1 again.',
      }),
    },
    { model: model.name, input: ['a fox', 'a crane'] },
  )

export const poolingSchema = ({ model }: Serving): BodySchema =>
  body(
    ['input'],
    {
      ...OF_INPUTS,
      encoding_format: ENCODING,
      task: nullable({ type: 'string', enum: ['embed', 'classify'] }),
      use_activation: boolean,
    },
    { model: model.name, input: 'a fox' },
  )

export const classifySchema = ({ model }: Serving): BodySchema =>
  body(['input'], { ...OF_INPUTS, use_activation: boolean }, { model: model.name, input: 'a fox' })

export const scoreSchema = ({ model }: Serving): BodySchema =>
  body(
    ['text_1', 'text_2'],
    { ...COMMON, text_1: { anyOf: [TEXT, list(TEXT)] }, text_2: { anyOf: [TEXT, list(TEXT)] }, use_activation: boolean },
    { model: model.name, text_1: 'a fox', text_2: ['a vixen', 'a spoon'] },
  )

export const rerankSchema = ({ model }: Serving): BodySchema =>
  body(
    ['query', 'documents'],
    {
      ...COMMON,
      query: TEXT,
      documents: list(DOCUMENT),
      top_n: nullable({ type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: '0 or absent: all.' }),
      return_documents: boolean,
      max_tokens_per_doc: nullable({
        type: 'integer',
        minimum: 1,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'Tokens that are kept of each document.',
      }),
      use_activation: boolean,
    },
    { model: model.name, query: 'a fox', documents: ['a spoon', 'a vixen'], top_n: 1 },
  )
