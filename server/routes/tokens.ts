/** POST /tokenize and /detokenize, as vLLM has them. */
import type { FastifyInstance } from 'fastify'
import { chooseAdapter, leaseAdapters } from '../adapter-choice.ts'
import { leaving } from '../client-left.ts'
import { decodeInSlices } from '../decode-in-slices.ts'
import { ApiError } from '../errors.ts'
import { jsonBody, slicedList, slicedNumbers } from '../json.ts'
import { conversationOf } from '../openai/messages.ts'
import { type Body, checkFields, given } from '../openai/parameters.ts'
import { checkTokens } from '../openai/sampling.ts'
import { type BodySchema, boolean, CONVERSATION, string, tokenIdsOf } from '../openai/schemas.ts'
import { READ_BY_ADAPTERS } from '../openapi/describe.ts'
import type { Serving } from '../types.ts'
import { DETOKENIZED_ANSWER, TOKENIZED_ANSWER, TOKENIZER_ANSWER } from './answer-schemas.ts'

const tokenizeSchema: BodySchema = {
  type: 'object',
  examples: [{ prompt: 'a fox' }],
  properties: {
    model: string,
    prompt: { type: 'string' },
    ...CONVERSATION,
    add_special_tokens: boolean,
    return_token_strs: boolean,
  },
}

/** Of a prompt or of messages, as the document has it: one of the two. */
const tokenizeBody = {
  examples: tokenizeSchema.examples,
  anyOf: ['prompt', 'messages'].map((field) => {
    const { prompt, messages, ...others } = tokenizeSchema.properties
    return { type: 'object', required: [field], properties: { ...others, ...(field === 'prompt' ? { prompt } : { messages }) } }
  }),
}

const detokenizeSchema = (serving: Serving): BodySchema => ({
  type: 'object',
  examples: [{ tokens: [1, 2, 3] }],
  required: ['tokens'],
  properties: { model: string, tokens: tokenIdsOf(serving) },
})

export function tokenRoutes(app: FastifyInstance, all: Serving): void {
  const detokenized = detokenizeSchema(all)
  app.post<{ Body: Body }>(
    '/tokenize',
    {
      schema: {
        body: tokenizeSchema,
        tags: ['tokens'],
        summary: 'Token ids of a prompt or of messages',
        api: {
          id: 'tokenize',
          body: tokenizeBody,
          answer: TOKENIZED_ANSWER,
          ...READ_BY_ADAPTERS,
          links: { detokenize: { operationId: 'detokenize', requestBody: { tokens: '$response.body#/tokens' } } },
        },
      },
    },
    async (request, reply) => {
      const { body } = request
      checkFields(body, tokenizeSchema)
      const choice = await chooseAdapter(all, request, body.model as string | undefined, reply)
      if ((body.prompt === undefined) === (body.messages === undefined))
        throw new ApiError('invalid_request', 'you must provide either prompt or messages', 'prompt')
      const chat = body.prompt === undefined
      const { serving } = await leaseAdapters(all, choice, reply, { generates: false })
      const { tokenizer } = serving
      const left = leaving(reply)
      const encoding = {
        addSpecialTokens: given<boolean>(body, 'add_special_tokens', !chat),
        param: chat ? 'messages' : 'prompt',
      }
      const tokens = chat
        ? await serving.prompts.encodeConversation(conversationOf(body, serving.limits), encoding, left)
        : (await serving.prompts.encode([body.prompt as string], encoding, left))[0]
      const answer = {
        count: tokens.length,
        max_model_len: serving.model.maxModelLen,
        tokens: slicedNumbers(tokens),
        token_strs: given<boolean>(body, 'return_token_strs', false)
          ? slicedList(tokens, (id) => tokenizer.tokenString(id))
          : null,
      }
      reply.type('application/json; charset=utf-8')
      return jsonBody(answer)
    },
  )
  app.get(
    '/tokenizer_info',
    {
      schema: {
        tags: ['tokens'],
        summary: "The base model's tokenizer_config.json, and its chat template",
        api: { id: 'getTokenizer', answer: TOKENIZER_ANSWER, refusals: ['too_many_requests'] },
      },
    },
    async () => all.tokenizerInfo,
  )
  app.post<{ Body: Body }>(
    '/detokenize',
    {
      schema: {
        body: detokenized,
        tags: ['tokens'],
        summary: 'Text of token ids',
        api: { id: 'detokenize', answer: DETOKENIZED_ANSWER, ...READ_BY_ADAPTERS },
      },
    },
    async (request, reply) => {
      const { body } = request
      checkFields(body, detokenized)
      const choice = await chooseAdapter(all, request, body.model as string | undefined, reply)
      const { serving } = await leaseAdapters(all, choice, reply, { generates: false })
      const tokens = body.tokens as number[]
      checkTokens(tokens, 'tokens', serving.vocabSize)
      return { prompt: await decodeInSlices(serving.tokenizer, tokens, { skipSpecialTokens: false }) }
    },
  )
}
