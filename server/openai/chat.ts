/** POST /v1/chat/completions. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Asking, chooseAdapter, type LeasedAdapters, leaseAdapters } from '../adapter-choice.ts'
import { type Lasting, leaving } from '../client-left.ts'
import { ApiError } from '../errors.ts'
import { COMPUTED } from '../openapi/describe.ts'
import { structuredOf } from '../structured/request.ts'
import type { Serving } from '../types.ts'
import { answer } from './answer.ts'
import { CHAT_ANSWER } from './answer-schemas.ts'
import { badWordsOf } from './bad-words.ts'
import { ChatShape } from './chat-shape.ts'
import type { ChoiceRequest } from './generation.ts'
import { toolUseOf } from './message/chat-tools.ts'
import type { MessageReader } from './message/delta.ts'
import { PlainReader } from './message/plain.ts'
import { checkCallable, type MessageReading, messageReaderFor } from './message/reader-for.ts'
import { conversationOf, messagesOf, textOf } from './messages.ts'
import { type Body, checkFields, given, settleMaxTokens, textOptions } from './parameters.ts'
import { requestId } from './request-id.ts'
import { samplingOf, seededChoices } from './sampling.ts'
import { chatSchema } from './schemas.ts'
import type { Prepared } from './turn.ts'

export type ChatHandler = (request: FastifyRequest<{ Body: Body }>, reply: FastifyReply) => Promise<unknown>

/** A conversation that is ready to be answered. */
export interface ChatTurn extends Prepared {
  /** With echo, the text before the answer. */
  echo: string
  /** How messages are read for calls and reasoning; absent: they are their text. */
  reading?: MessageReading
  /** Reads the text of one choice, from its beginning. */
  reader(): MessageReader
}

/** Makes turns of chat bodies: what all routes have in common that speak of messages. */
export type ChatTurns = ReturnType<typeof chatTurns>

export function chatTurns(all: Serving) {
  const schema = chatSchema(all)
  return {
    schema,
    /** `leased`: what serves it, where that is known already. Throws ApiError, which names the fields of a chat body. */
    prepare: async (request: Asking, reply: Lasting, body: Body, leased?: LeasedAdapters): Promise<ChatTurn> => {
      checkFields(body, schema)
      checkUnserved(body)
      const use = toolUseOf(body)
      const choice = await chooseAdapter(all, request, body.model as string | undefined, reply)
      const n = given(body, 'n', 1)
      all.cost.checkSequences(n, 'n')
      const own = structuredOf(body)
      const conversation = conversationOf(body, all.limits)
      const adapter = leased ?? (await leaseAdapters(all, choice, reply))
      const { serving } = adapter
      checkCallable(serving, use)
      // The template writes the special tokens itself.
      const encoding = { addSpecialTokens: given<boolean>(body, 'add_special_tokens', false), param: 'messages' }
      const whole = await serving.prompts.encodeConversation(conversation, encoding, leaving(reply))
      const truncate = given<number | undefined>(body, 'truncate_prompt_tokens', undefined)
      const promptIds = truncate === undefined ? whole : whole.slice(-truncate)
      if (promptIds.length === 0) throw new ApiError('invalid_request', 'the rendered messages hold no token', 'messages')
      // The newer name first, where both are there.
      const limit = body.max_completion_tokens == null ? 'max_tokens' : 'max_completion_tokens'
      const asked = given<number | undefined>(body, limit, undefined)
      if (asked === 0) throw new ApiError('invalid_request', `${limit} must be at least 1`, limit)
      const maxTokens = settleMaxTokens(asked, Number.POSITIVE_INFINITY, promptIds.length, serving.model.maxModelLen, 'messages')
      const badWords = await badWordsOf(serving, body, leaving(reply))
      const sampling = samplingOf(serving, body, {
        badWords,
        maxTokens: asked,
        logprobs: given<boolean>(body, 'logprobs', false) ? given(body, 'top_logprobs', 0) : -1,
        promptLogprobs: given(body, 'prompt_logprobs', -1),
        sequences: n,
      })
      const echo = echoOf(body)
      const continues = given<boolean>(body, 'continue_final_message', false)
      const reading = messageReaderFor(serving, {
        use,
        structured: own.structured,
        includeReasoning: given<boolean>(body, 'include_reasoning', true),
        whole: !given<boolean>(body, 'stream', false),
        promptIds,
        continues,
      })
      const choices: ChoiceRequest[] = seededChoices({ ...sampling, maxTokens }, n).map((one) => ({
        promptIds,
        continues,
        sampling: one,
      }))
      const generated: Prepared['asked'] = {
        id: requestId('chatcmpl', request, body),
        choices,
        promptField: 'messages',
        structured: reading?.structured ?? own.structured,
        structuredField: reading?.structuredField ?? own.structuredField,
        keepTokens: reading?.keepTokens,
        ...textOptions(body, serving.scheduling),
      }
      const reader = () => reading?.reader() ?? new PlainReader()
      return { adapter, asked: generated, promptTokens: promptIds.length, echo, reading, reader }
    },
  }
}

export function chatRoutes(app: FastifyInstance, turns: ChatTurns): ChatHandler {
  const handler: ChatHandler = async (request, reply) => {
    const { body } = request
    const turn = await turns.prepare(request, reply, body)
    return answer(
      request,
      reply,
      body,
      turn,
      new ChatShape(turn.adapter.serving, body, turn.asked.choices, () => turn.echo, turn.reading),
    )
  }
  app.post<{ Body: Body }>('/v1/chat/completions', {
    schema: {
      body: turns.schema,
      tags: ['generation'],
      summary: 'Answer a conversation',
      api: { id: 'createChatCompletion', answer: CHAT_ANSWER, ...COMPUTED },
    },
    handler,
  })
  return handler
}

/** Fields of the schema that are served for some values only. */
function checkUnserved(body: Body): void {
  if (given(body, 'top_logprobs', 0) > 0 && !body.logprobs)
    throw new ApiError('invalid_request', 'top_logprobs needs logprobs to be true', 'top_logprobs')
}

/** With echo, the text before the answer: the last message if the answer goes on with it, which is if it is the assistant's too (as vLLM has it). */
function echoOf(body: Body): string {
  const last = body.echo ? messagesOf(body).at(-1) : undefined
  return last?.role === 'assistant' ? textOf(last) : ''
}
