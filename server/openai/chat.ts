/** POST /v1/chat/completions. */
import type { FastifyInstance } from 'fastify'
import type { TokenLogprob } from '../../runtime/index.ts'
import { chooseAdapter } from '../adapter-choice.ts'
import { encodePrompt } from '../encode-prompt.ts'
import { ApiError } from '../errors.ts'
import type { Serving } from '../types.ts'
import { answer, type Shape } from './answer.ts'
import type { ChoiceRequest, Piece } from './generation.ts'
import { chatLogprobs, promptLogprobs } from './logprobs.ts'
import { messagesOf, renderPrompt } from './messages.ts'
import { type Body, checkFields, given, samplingOf, seededChoices, settleMaxTokens, textOptions } from './parameters.ts'
import { requestId } from './request-id.ts'
import { chatSchema } from './schemas.ts'

export function chatRoutes(app: FastifyInstance, serving: Serving): void {
  app.post<{ Body: Body }>('/v1/chat/completions', {
    schema: { body: chatSchema, tags: ['generation'], summary: 'Answer a conversation' },
    handler: async (request, reply) => {
      const { body } = request
      checkFields(body, chatSchema)
      checkUnserved(body)
      const adapter = chooseAdapter(serving, request.headers, body.model as string | undefined)
      const text = await renderPrompt(serving, body)
      // The template writes the special tokens itself.
      const all = encodePrompt(serving, text, given<boolean>(body, 'add_special_tokens', false), 'messages')
      const promptIds = all.slice(-given(body, 'truncate_prompt_tokens', all.length))
      if (promptIds.length === 0) throw new ApiError('invalid_request', 'the rendered messages hold no token', 'messages')
      const asked = given<number | undefined>(
        body,
        'max_completion_tokens',
        given<number | undefined>(body, 'max_tokens', undefined),
      )
      if (asked === 0) throw new ApiError('invalid_request', 'max_completion_tokens must be at least 1', 'max_completion_tokens')
      const maxTokens = settleMaxTokens(asked, Number.POSITIVE_INFINITY, promptIds.length, serving.model.maxModelLen, 'messages')
      const sampling = samplingOf(serving, body, {
        maxTokens: asked,
        logprobs: given<boolean>(body, 'logprobs', false) ? given(body, 'top_logprobs', 0) : -1,
        promptLogprobs: given(body, 'prompt_logprobs', -1),
      })
      const continues = given<boolean>(body, 'continue_final_message', false)
      const choices: ChoiceRequest[] = seededChoices({ ...sampling, maxTokens }, given(body, 'n', 1)).map((one) => ({
        promptIds,
        continues,
        sampling: one,
      }))
      return answer(
        serving,
        request,
        reply,
        body,
        adapter,
        {
          id: requestId('chatcmpl', request, body),
          choices,
          adapters: adapter.uses,
          ...textOptions(body),
        },
        promptIds.length,
        new ChatShape(serving, body, choices),
      )
    },
  })
}

/** Fields of the schema that are served for some values only. */
function checkUnserved(body: Body): void {
  const format = (body.response_format as { type: string } | null | undefined)?.type ?? 'text'
  if (format !== 'text')
    throw new ApiError('unsupported_parameter', `response_format ${format} is not supported; only text is`, 'response_format')
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

interface Whole {
  content: string
  tokens: number[]
  logprobs: TokenLogprob[]
  finish?: string
  stopReason?: string | number | null
}

class ChatShape implements Shape {
  readonly object = 'chat.completion'
  readonly chunkObject = 'chat.completion.chunk'
  private readonly serving: Serving
  private readonly body: Body
  private readonly promptIds: number[]
  private readonly whole: Whole[]
  private promptLogprobs: Piece['promptLogprobs']

  constructor(serving: Serving, body: Body, choices: ChoiceRequest[]) {
    this.serving = serving
    this.body = body
    this.promptIds = choices[0].promptIds
    this.whole = choices.map(() => ({ content: echoOf(body), tokens: [], logprobs: [] }))
  }

  chunks(index: number, piece: Piece, first: boolean): object[] {
    const items: object[] = []
    const common = { logprobs: null, finish_reason: null }
    if (first) items.push({ index, delta: { role: 'assistant', content: this.whole[index].content }, ...common })
    const ids = given<boolean>(this.body, 'return_token_ids', false)
    const logprobs = piece.logprobs.length > 0 ? chatLogprobs(this.serving.tokenizer, piece.logprobs) : null
    if (piece.promptLogprobs) this.promptLogprobs = piece.promptLogprobs
    if (piece.text !== '' || logprobs || piece.finish || ids)
      items.push({
        index,
        delta: piece.text === '' ? {} : { content: piece.text },
        logprobs,
        finish_reason: piece.finish ?? null,
        ...(piece.finish && { stop_reason: piece.stopReason ?? null }),
        ...(ids && { token_ids: piece.tokens }),
      })
    return items
  }

  collect(index: number, piece: Piece): void {
    const choice = this.whole[index]
    choice.content += piece.text
    for (const token of piece.tokens) choice.tokens.push(token)
    for (const entry of piece.logprobs) choice.logprobs.push(entry)
    if (piece.promptLogprobs) this.promptLogprobs = piece.promptLogprobs
    if (piece.finish) Object.assign(choice, { finish: piece.finish, stopReason: piece.stopReason })
  }

  choices(): object[] {
    return this.whole.map((choice, index) => ({
      index,
      message: { role: 'assistant', content: choice.content, refusal: null },
      logprobs: given<boolean>(this.body, 'logprobs', false) ? chatLogprobs(this.serving.tokenizer, choice.logprobs) : null,
      finish_reason: choice.finish ?? null,
      stop_reason: choice.stopReason ?? null,
      ...(given<boolean>(this.body, 'return_token_ids', false) && { token_ids: choice.tokens }),
    }))
  }

  extra(): object {
    return {
      ...(given<boolean>(this.body, 'return_token_ids', false) && { prompt_token_ids: this.promptIds }),
      ...(given(this.body, 'prompt_logprobs', -1) >= 0 &&
        this.promptLogprobs && { prompt_logprobs: promptLogprobs(this.serving.tokenizer, this.promptLogprobs) }),
    }
  }
}
