/** POST /v1/messages and /v1/messages/count_tokens, as Anthropic has them. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { chooseAdapter, leaseAdapters } from '../adapter-choice.ts'
import { leaving } from '../client-left.ts'
import { anthropicError } from '../error-shapes.ts'
import { toApiError } from '../errors.ts'
import type { ChatTurn, ChatTurns } from '../openai/chat.ts'
import { EventStream } from '../openai/event-stream.ts'
import { Reading } from '../openai/message/reading.ts'
import { conversationOf } from '../openai/messages.ts'
import { type Body, checkFields, given } from '../openai/parameters.ts'
import { takeTurn } from '../openai/turn.ts'
import { usageOf } from '../openai/usage.ts'
import { validate } from '../openai/validate.ts'
import { COMPUTED, READ_BY_ADAPTERS } from '../openapi/describe.ts'
import type { Serving } from '../types.ts'
import { COUNT_ANSWER, MESSAGE_ANSWER } from './answer-schema.ts'
import { chatBodyOf, checkMessages, renamed } from './request.ts'
import { countSchema, messagesSchema } from './schema.ts'
import { type MessageEvent, MessageWriter } from './writer.ts'

const tags = ['messages']

/** Anthropic's clients look for it by this name. */
const onRequest = async (request: FastifyRequest, reply: FastifyReply) => {
  reply.header('request-id', request.id)
}

const withRequestId = (facts: typeof COMPUTED) => ({
  ...facts,
  answerHeaders: { ...facts.answerHeaders, 'request-id': 'The same as x-request-id' },
})

export function messageRoutes(app: FastifyInstance, all: Serving, turns: ChatTurns): void {
  const schema = messagesSchema(all)
  app.post<{ Body: Body }>('/v1/messages', {
    schema: {
      body: schema,
      tags,
      summary: "Answer a conversation in Anthropic's shape",
      api: { id: 'createMessage', answer: MESSAGE_ANSWER, ...withRequestId(COMPUTED) },
    },
    onRequest,
    handler: async (request, reply) => {
      try {
        checkFields(checkMessages(request.body), schema)
        const chat = chatBodyOf(request.body)
        validate(request, turns.schema, chat)
        const turn = await turns.prepare({ headers: request.headers, caller: request.caller, body: chat }, reply, chat)
        return await answer(request, reply, chat, turn)
      } catch (error) {
        throw renamed(knownOf(error, all))
      }
    },
  })
  const counted = countSchema(all)
  app.post<{ Body: Body }>('/v1/messages/count_tokens', {
    schema: {
      body: counted,
      tags,
      summary: 'Tokens that a conversation takes',
      api: { id: 'countMessageTokens', answer: COUNT_ANSWER, ...withRequestId(READ_BY_ADAPTERS) },
    },
    onRequest,
    handler: async (request, reply) => {
      try {
        const body = checkMessages(request.body)
        checkFields(body, counted)
        const chat = chatBodyOf(body)
        validate(request, turns.schema, chat)
        const choice = await chooseAdapter(all, request, body.model as string | undefined, reply)
        const { serving } = await leaseAdapters(all, choice, reply, { generates: false })
        const encoding = { addSpecialTokens: false, param: 'messages' }
        const conversation = conversationOf(chat, serving.limits)
        const tokens = await serving.prompts.encodeConversation(conversation, encoding, leaving(reply))
        return { input_tokens: tokens.length }
      } catch (error) {
        throw renamed(knownOf(error, all))
      }
    },
  })
}

/** What the error handler knows by itself stays what it is. */
function knownOf(error: unknown, { limits }: Serving): unknown {
  const known = toApiError(error, limits.bodyLimit)
  return known.code === 'internal_error' ? error : known
}

async function answer(request: FastifyRequest, reply: FastifyReply, chat: Body, turn: ChatTurn): Promise<unknown> {
  // Rendering and tokenizing take their time; who left meanwhile is not served.
  if (reply.raw.destroyed) return reply.hijack()
  const { adapter } = turn
  const { limits } = adapter.serving
  const streams = given<boolean>(chat, 'stream', false)
  let stream: EventStream | undefined
  const open = () => (stream ??= new EventStream(reply, adapter.headers, () => {}))
  const emit = (event: MessageEvent) => open().sendNamed(event.type, event)
  const writer = new MessageWriter(adapter.model, streams ? emit : () => {})
  const reading = new Reading(turn.reader(), writer)
  const { generation, terms, run } = await takeTurn(request, reply, chat, turn, (_choice, piece) => {
    begin()
    return reading.take(piece)
  })
  const usage = () => usageOf(generation.counts, limits.enablePromptTokensDetails)
  let begun = false
  const begin = () => {
    if (!begun) writer.start(usage())
    begun = true
  }
  reply.headers(adapter.headers)
  const running = run()
  // Who may be refused for the time of its first token is told by the status: then the head waits for that token.
  if (streams && terms.firstTokenMs === undefined) begin()
  try {
    await running
  } catch (error) {
    if (!stream) throw error
    request.log.warn({ err: error }, 'a stream failed')
    stream.sendNamed('error', anthropicError(toApiError(error, limits.bodyLimit)))
    stream.end()
    return reply
  }
  const { ending } = reading
  if (!ending || reply.raw.destroyed) return stream ? reply : reply.hijack()
  begin()
  writer.end(ending, reading.usage(usage()))
  if (!stream) return writer.message
  stream.end()
  return reply
}
