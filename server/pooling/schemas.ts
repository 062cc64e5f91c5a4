/** JSON schemas of the bodies that give hidden states, labels and scores: OpenAI's, vLLM's, Cohere's and Jina's fields. */
import { type BodySchema, boolean, CONVERSATION, nullable, priorityField, string, tokenIdsOf } from '../openai/schemas.ts'
import type { Serving } from '../types.ts'
import { USUAL, widthOf } from './folder.ts'

/** OpenAI's own limit of an embeddings request. */
const MOST_INPUTS = 2048

const list = (items: object) => ({ type: 'array', minItems: 1, maxItems: MOST_INPUTS, items })
const TEXT = { type: 'string' }

function inputOf(serving: Serving) {
  const tokenIds = { ...tokenIdsOf(serving), minItems: 1 }
  return {
    description: 'Text or token ids, one input or several.',
    anyOf: [TEXT, list(TEXT), tokenIds, list(tokenIds)],
  }
}
const ENCODING = nullable({ type: 'string', enum: ['float', 'base64'] })
/** vLLM's names of the two sides of /score. */
export const SCORED = [
  ['text_1', 'text_2'],
  ['queries', 'documents'],
  ['queries', 'items'],
  ['data_1', 'data_2'],
] as const

/** A document of /rerank: Cohere's, Jina's and vLLM's. */
const DOCUMENT = { anyOf: [TEXT, { type: 'object', required: ['text'], properties: { text: TEXT } }] }

const common = (serving: Serving) => ({
  model: {
    ...string,
    description: "The base's name, an adapter's, or `base:adapter`. The header x-lora-adapter goes before it.",
  },
  truncate_prompt_tokens: nullable({
    type: 'integer',
    minimum: -1,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'Tokens that are kept of each input; -1: as many as the context holds.',
  }),
  truncation_side: nullable({
    type: 'string',
    enum: ['left', 'right'],
    description: 'Where what is too much is cut; `right`, the usual, keeps the first tokens.',
  }),
  priority: priorityField(serving),
  request_id: nullable({ type: 'string', maxLength: 256 }),
  cache_salt: nullable({ type: 'string', minLength: 1, maxLength: 1024 }),
  user: string,
})
/** `input`, or `messages` and how they are rendered. */
const ofInputs = (serving: Serving) => ({
  ...common(serving),
  input: inputOf(serving),
  ...CONVERSATION,
  add_special_tokens: boolean,
})
/** What vLLM's answers are without them, and ours always. */
const AS_EVER = {
  embed_dtype: nullable({ type: 'string', enum: ['float32'] }),
  endianness: nullable({ type: 'string', enum: ['native', 'little'] }),
}

const body = (required: string[], properties: BodySchema['properties'], example: object): BodySchema => ({
  type: 'object',
  examples: [example],
  required,
  properties,
})

const dimensions = (maximum = Number.MAX_SAFE_INTEGER) =>
  nullable({
    type: 'integer',
    minimum: 1,
    maximum,
    description: 'As many of the first elements are kept, and brought to length 1 again.',
  })

export const embeddingsSchema = (serving: Serving): BodySchema =>
  body(
    [],
    {
      ...ofInputs(serving),
      ...AS_EVER,
      encoding_format: ENCODING,
      // vLLM's two names of one thing; what is not said follows from the model's folder.
      normalize: boolean,
      use_activation: boolean,
      dimensions: dimensions(widthOf(serving.embeddings ?? USUAL, serving.engine.info.hiddenSize)),
      prompt_name: nullable({
        type: 'string',
        maxLength: 256,
        description: "Of the prompts in the model's config_sentence_transformers.json that which is put before each text.",
      }),
    },
    { model: serving.model.name, input: ['a fox', 'a crane'] },
  )

export const poolingSchema = (serving: Serving): BodySchema =>
  body(
    [],
    {
      ...ofInputs(serving),
      ...AS_EVER,
      encoding_format: ENCODING,
      task: nullable({ type: 'string', enum: ['embed', 'classify', 'token_embed', 'token_classify'] }),
      dimensions: dimensions(),
      use_activation: boolean,
    },
    { model: serving.model.name, input: 'a fox' },
  )

export const classifySchema = (serving: Serving): BodySchema =>
  body([], { ...ofInputs(serving), use_activation: boolean }, { model: serving.model.name, input: 'a fox' })

const tokensOf = (what: string) =>
  nullable({
    type: 'integer',
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    description: `Tokens that are kept of each ${what}; 0 or absent: all.`,
  })
/** vLLM's, of whatever scores pairs. */
const ofPairs = (serving: Serving) => ({
  ...common(serving),
  max_tokens_per_query: tokensOf('query'),
  max_tokens_per_doc: tokensOf('document'),
  instruction: { ...string, description: "What counts as an answer, for the model's score template." },
  chat_template_kwargs: nullable({ type: 'object' }),
  use_activation: boolean,
})

const TEXTS = { anyOf: [TEXT, list(TEXT)] }

export const scoreSchema = (serving: Serving): BodySchema =>
  body(
    [],
    { ...ofPairs(serving), ...Object.fromEntries(SCORED.flat().map((name) => [name, TEXTS])) },
    { model: serving.model.name, text_1: 'a fox', text_2: ['a vixen', 'a spoon'] },
  )

export const rerankSchema = (serving: Serving): BodySchema =>
  body(
    ['query', 'documents'],
    {
      ...ofPairs(serving),
      query: TEXT,
      documents: list(DOCUMENT),
      top_n: nullable({ type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: '0 or absent: all.' }),
      return_documents: boolean,
    },
    { model: serving.model.name, query: 'a fox', documents: ['a spoon', 'a vixen'], top_n: 1 },
  )
