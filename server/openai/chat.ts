/** POST /v1/chat/completions. */
import type { FastifyInstance } from 'fastify'
import { chooseAdapter, leaseAdapters } from '../adapter-choice.ts'
import { leaving } from '../client-left.ts'
import { ApiError } from '../errors.ts'
import type { Serving } from '../types.ts'
import { answer } from './answer.ts'
import { ChatShape } from './chat-shape.ts'
import type { ChoiceRequest } from './generation.ts'
import { toolUseOf } from './message/chat-tools.ts'
import { checkCallable, messageReaderFor } from './message/reader-for.ts'
import { conversationOf, messagesOf } from './messages.ts'
import { type Body, checkFields, given, settleMaxTokens, shown, textOptions } from './parameters.ts'
import { requestId } from './request-id.ts'
import { samplingOf, seededChoices } from './sampling.ts'
import { chatSchema } from './schemas.ts'

export function chatRoutes(app: FastifyInstance, all: Serving): void {
  const schema = chatSchema(all)
  app.post<{ Body: Body }>('/v1/chat/completions', {
    schema: { body: schema, tags: ['generation'], summary: 'Answer a conversation' },
    handler: async (request, reply) => {
      const { body } = request
      checkFields(body, schema)
      checkUnserved(body)
      const use = toolUseOf(body)
      const choice = await chooseAdapter(all, request, body.model as string | undefined, reply)
      const n = given(body, 'n', 1)
      all.cost.checkSequences(n, 'n')
      const conversation = conversationOf(body, all.limits)
      const adapter = await leaseAdapters(all, choice, reply)
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
      const sampling = samplingOf(serving, body, {
        maxTokens: asked,
        logprobs: given<boolean>(body, 'logprobs', false) ? given(body, 'top_logprobs', 0) : -1,
        promptLogprobs: given(body, 'prompt_logprobs', -1),
        sequences: n,
      })
      const echo = echoOf(body)
      const continues = given<boolean>(body, 'continue_final_message', false)
      const reading = messageReaderFor(serving, {
        use,
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
      return answer(
        request,
        reply,
        body,
        adapter,
        {
          id: requestId('chatcmpl', request, body),
          choices,
          promptField: 'messages',
          structured: reading?.structured,
          structuredField: reading?.structuredField,
          keepTokens: reading?.keepTokens,
          ...textOptions(body, serving.scheduling),
        },
        promptIds.length,
        new ChatShape(serving, body, choices, () => echo, reading),
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
  if (given(body, 'top_logprobs', 0) > 0 && !body.logprobs)
    throw new ApiError('invalid_request', 'top_logprobs needs logprobs to be true', 'top_logprobs')
}

/** With echo, the text before the answer: the last message if the answer goes on with it, which is if it is the assistant's too (as vLLM has it). */
function echoOf(body: Body): string {
  const last = body.echo ? messagesOf(body).at(-1) : undefined
  return (last?.role === 'assistant' && last.content) || ''
}
