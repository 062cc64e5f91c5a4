/** POST /tokenize and /detokenize, as vLLM has them. */
import type { FastifyInstance } from 'fastify'
import { chooseAdapter } from '../adapter-choice.ts'
import { encodePrompt } from '../encode-prompt.ts'
import { ApiError } from '../errors.ts'
import { renderPrompt } from '../openai/messages.ts'
import { type Body, checkFields, given } from '../openai/parameters.ts'
import { chatSchema } from '../openai/schemas.ts'
import type { Serving } from '../types.ts'

const { messages, add_generation_prompt, continue_final_message, chat_template, chat_template_kwargs } = chatSchema.properties
const boolean = { anyOf: [{ type: 'boolean' }, { type: 'null' }] }
const model = { anyOf: [{ type: 'string' }, { type: 'null' }] }

const tokenizeSchema = {
  type: 'object',
  properties: {
    model,
    prompt: { type: 'string' },
    messages,
    add_special_tokens: boolean,
    return_token_strs: boolean,
    add_generation_prompt,
    continue_final_message,
    chat_template,
    chat_template_kwargs,
  },
} as const

const detokenizeSchema = {
  type: 'object',
  required: ['tokens'],
  properties: { model, tokens: { type: 'array', items: { type: 'integer', minimum: 0 } } },
} as const

export function tokenRoutes(app: FastifyInstance, serving: Serving): void {
  const { tokenizer } = serving
  app.post<{ Body: Body }>(
    '/tokenize',
    { schema: { body: tokenizeSchema, tags: ['tokens'], summary: 'Token ids of a prompt or of messages' } },
    async ({ body, headers }) => {
      checkFields(body, tokenizeSchema)
      chooseAdapter(serving, headers, body.model as string | undefined)
      if ((body.prompt === undefined) === (body.messages === undefined))
        throw new ApiError('invalid_request', 'you must provide either prompt or messages', 'prompt')
      const chat = body.prompt === undefined
      const text = chat ? await renderPrompt(serving, body) : (body.prompt as string)
      const special = given<boolean>(body, 'add_special_tokens', !chat)
      const tokens = encodePrompt(serving, text, special, chat ? 'messages' : 'prompt')
      return {
        count: tokens.length,
        max_model_len: serving.model.maxModelLen,
        tokens,
        token_strs: given<boolean>(body, 'return_token_strs', false) ? tokens.map((id) => tokenizer.tokenString(id)) : null,
      }
    },
  )
  app.post<{ Body: Body }>(
    '/detokenize',
    { schema: { body: detokenizeSchema, tags: ['tokens'], summary: 'Text of token ids' } },
    async ({ body, headers }) => {
      checkFields(body, detokenizeSchema)
      chooseAdapter(serving, headers, body.model as string | undefined)
      const tokens = body.tokens as number[]
      const { vocabSize } = serving.engine.info
      const odd = tokens.find((id) => id >= vocabSize)
      if (odd !== undefined)
        throw new ApiError('invalid_request', `tokens: ${odd} is not a token id of this model (0 to ${vocabSize - 1})`, 'tokens')
      return { prompt: tokenizer.decode(tokens, { skipSpecialTokens: false }) }
    },
  )
}
