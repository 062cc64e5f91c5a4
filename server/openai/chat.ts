/** POST /v1/chat/completions. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { LogprobRows } from '../../runtime/index.ts'
import { type Asking, chooseAdapter, type LeasedAdapters, leaseAdapters } from '../adapter-choice.ts'
import { type Lasting, leaving } from '../client-left.ts'
import { ApiError } from '../errors.ts'
import { slicedNumbers } from '../json.ts'
import type { Serving } from '../types.ts'
import { answer } from './answer.ts'
import type { ChoiceRequest, Piece } from './generation.ts'
import { chatLogprobs } from './logprobs.ts'
import type { MessageReader } from './message/delta.ts'
import { PlainReader } from './message/plain.ts'
import { conversationOf, messagesOf } from './messages.ts'
import { type Body, checkFields, given, settleMaxTokens, shown, textOptions } from './parameters.ts'
import { requestId } from './request-id.ts'
import { samplingOf, seededChoices } from './sampling.ts'
import { chatSchema } from './schemas.ts'
import { Shape } from './shape.ts'
import type { Prepared } from './turn.ts'

export type ChatHandler = (request: FastifyRequest<{ Body: Body }>, reply: FastifyReply) => Promise<unknown>

/** A conversation that is ready to be answered. */
export interface ChatTurn extends Prepared {
  /** With echo, the text before the answer. */
  echo: string
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
      const choice = await chooseAdapter(all, request, body.model as string | undefined, reply)
      const n = given(body, 'n', 1)
      all.cost.checkSequences(n, 'n')
      const conversation = conversationOf(body, all.limits)
      const adapter = leased ?? (await leaseAdapters(all, choice, reply))
      const { serving } = adapter
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
      const sampling = samplingOf(serving, body, {
        maxTokens: asked,
        logprobs: given<boolean>(body, 'logprobs', false) ? given(body, 'top_logprobs', 0) : -1,
        promptLogprobs: given(body, 'prompt_logprobs', -1),
        sequences: n,
      })
      const echo = echoOf(body)
      const continues = given<boolean>(body, 'continue_final_message', false)
      const choices: ChoiceRequest[] = seededChoices({ ...sampling, maxTokens }, n).map((one) => ({
        promptIds,
        continues,
        sampling: one,
      }))
      const generated: Prepared['asked'] = {
        id: requestId('chatcmpl', request, body),
        choices,
        promptField: 'messages',
        ...textOptions(body, serving.scheduling),
      }
      return { adapter, asked: generated, promptTokens: promptIds.length, echo, reader: () => new PlainReader() }
    },
  }
}

export function chatRoutes(app: FastifyInstance, turns: ChatTurns): ChatHandler {
  const handler: ChatHandler = async (request, reply) => {
    const { body } = request
    const turn = await turns.prepare(request, reply, body)
    return answer(request, reply, body, turn, new ChatShape(turn.adapter.serving, body, turn.asked.choices, () => turn.echo))
  }
  app.post<{ Body: Body }>('/v1/chat/completions', {
    schema: { body: turns.schema, tags: ['generation'], summary: 'Answer a conversation' },
    handler,
  })
  return handler
}

/** Fields of the schema that are served for some values only. */
function checkUnserved(body: Body): void {
  const format = (body.response_format as { type: string } | null | undefined)?.type ?? 'text'
  if (format !== 'text')
    throw new ApiError(
      'unsupported_parameter',
      `response_format ${shown(format)} is not supported; only text is`,
      'response_format',
    )
  const choice = body.tool_choice ?? (body.tools ? 'auto' : 'none')
  if (((body.tools as unknown[] | null | undefined)?.length ?? 0) > 0 && choice !== 'none')
    throw new ApiError(
      'unsupported_parameter',
      'tool calls are not supported; leave tools out or set tool_choice to "none"',
      'tools',
    )
  if (given(body, 'top_logprobs', 0) > 0 && !body.logprobs)
    throw new ApiError('invalid_request', 'top_logprobs needs logprobs to be true', 'top_logprobs')
}

/** With echo, the text before the answer: the last message if the answer goes on with it, which is if it is the assistant's too (as vLLM has it). */
function echoOf(body: Body): string {
  const last = body.echo ? messagesOf(body).at(-1) : undefined
  return (last?.role === 'assistant' && last.content) || ''
}

class ChatShape extends Shape {
  readonly object = 'chat.completion'
  readonly chunkObject = 'chat.completion.chunk'
  chunks(index: number, piece: Piece): object[] {
    const items: object[] = []
    if (piece.first)
      items.push({
        index,
        delta: { role: 'assistant', content: this.whole[index].text },
        logprobs: null,
        finish_reason: null,
      })
    const logprobs = piece.logprobs ? this.logprobs(index, piece.logprobs) : null
    if (piece.promptLogprobs) this.whole[index].promptLogprobs = piece.promptLogprobs
    if (piece.text !== '' || logprobs || piece.finish || this.wantsIds)
      items.push({
        index,
        delta: piece.text === '' ? {} : { content: piece.text },
        logprobs,
        finish_reason: piece.finish ?? null,
        ...(piece.finish && { stop_reason: piece.stopReason ?? null }),
        ...this.tail(index, piece),
      })
    return items
  }

  /** The prompt is every choice's, and so are its logprobs. */
  extra(): object {
    return {
      ...(this.wantsIds && { prompt_token_ids: slicedNumbers(this.requests[0].promptIds) }),
      ...this.promptLogprobs(0, this.whole.find((piece) => piece.promptLogprobs)?.promptLogprobs),
    }
  }

  protected content(content: string): object {
    return { message: { role: 'assistant', content, refusal: null } }
  }

  protected logprobs(_index: number, rows: LogprobRows): object | null {
    return this.asked('logprobs') ? chatLogprobs(this.serving.tokenizer, rows) : null
  }

  protected tail(_index: number, { tokens }: Pick<Piece, 'tokens'>): object {
    return this.wantsIds ? { token_ids: slicedNumbers(tokens) } : {}
  }
}
