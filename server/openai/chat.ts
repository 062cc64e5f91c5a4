/** POST /v1/chat/completions. */
import type { FastifyInstance } from 'fastify'
import type { LogprobRows } from '../../runtime/index.ts'
import { chooseAdapter, leaseAdapters } from '../adapter-choice.ts'
import { leaving } from '../client-left.ts'
import { ApiError } from '../errors.ts'
import { slicedNumbers } from '../json.ts'
import type { Serving } from '../types.ts'
import { answer } from './answer.ts'
import type { ChoiceRequest, Piece } from './generation.ts'
import { chatLogprobs } from './logprobs.ts'
import { conversationOf, messagesOf, textOf } from './messages.ts'
import { type Body, checkFields, given, settleMaxTokens, shown, textOptions } from './parameters.ts'
import { requestId } from './request-id.ts'
import { samplingOf, seededChoices } from './sampling.ts'
import { chatSchema } from './schemas.ts'
import { Shape } from './shape.ts'

export function chatRoutes(app: FastifyInstance, all: Serving): void {
  const schema = chatSchema(all)
  app.post<{ Body: Body }>('/v1/chat/completions', {
    schema: { body: schema, tags: ['generation'], summary: 'Answer a conversation' },
    handler: async (request, reply) => {
      const { body } = request
      checkFields(body, schema)
      checkUnserved(body)
      const choice = await chooseAdapter(all, request, body.model as string | undefined, reply)
      const n = given(body, 'n', 1)
      all.cost.checkSequences(n, 'n')
      const conversation = conversationOf(body, all.limits)
      const adapter = await leaseAdapters(all, choice, reply)
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
      return answer(
        request,
        reply,
        body,
        adapter,
        {
          id: requestId('chatcmpl', request, body),
          choices,
          promptField: 'messages',
          ...textOptions(body, serving.scheduling),
        },
        promptIds.length,
        new ChatShape(serving, body, choices, () => echo),
      )
    },
  })
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
  return last?.role === 'assistant' ? textOf(last) : ''
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
