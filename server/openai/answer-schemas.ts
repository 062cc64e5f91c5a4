/** How answers of /v1/completions and /v1/chat/completions look, whole and as a stream's events: what shape.ts, chat-shape.ts and completions.ts write. */
import {
  type Answer,
  about,
  anyOf,
  count,
  either,
  events,
  json,
  list,
  named,
  nothing,
  number,
  object,
  oneOf,
  only,
  orNull,
  type Schema,
  text,
} from '../openapi/describe.ts'
import { ERROR } from '../openapi/refusals.ts'

export const USAGE = named(
  'Usage',
  object({
    prompt_tokens: count,
    completion_tokens: count,
    total_tokens: count,
    prompt_tokens_details: about('With --enable-prompt-tokens-details.', orNull(object({ cached_tokens: count }))),
    completion_tokens_details: object({ reasoning_tokens: count }),
  }),
)

/** Of tokens that cannot come it is null. */
const logprob = orNull(number)
const tokenIds = list(count)

const PROMPT_LOGPROBS = named(
  'PromptLogprobs',
  list(
    orNull({
      type: 'object',
      description: 'By token id. The first token of a prompt has none: null.',
      additionalProperties: object({ logprob, rank: count, decoded_token: text }),
    }),
  ),
)

const COMPLETION_LOGPROBS = named(
  'CompletionLogprobs',
  object({
    text_offset: list(count),
    token_logprobs: list(logprob),
    tokens: list(text),
    top_logprobs: list(orNull({ type: 'object', additionalProperties: logprob })),
  }),
)

const token = { token: text, logprob, bytes: list({ type: 'integer', minimum: 0, maximum: 255 }) }
export const TOKEN_LOGPROB = named('TokenLogprob', object({ ...token, top_logprobs: list(object(token)) }))
const CHAT_LOGPROBS = object({ content: list(TOKEN_LOGPROB) })

const finishReason = orNull(oneOf('stop', 'length', 'tool_calls'))
const stopReason = about('The stop string or token that ended it, or `pool_exhausted`.', orNull(anyOf(text, count)))

const envelope = (name: string) => ({ id: text, object: only(name), created: count, model: text, system_fingerprint: text })

const completionChoice = object({
  index: count,
  text,
  logprobs: orNull(COMPLETION_LOGPROBS),
  finish_reason: finishReason,
  stop_reason: stopReason,
  'token_ids?': tokenIds,
  'prompt_token_ids?': tokenIds,
  'prompt_logprobs?': PROMPT_LOGPROBS,
})

const COMPLETION = named('Completion', object({ ...envelope('text_completion'), choices: list(completionChoice), usage: USAGE }))
const COMPLETION_CHUNK = named(
  'CompletionChunk',
  object({ ...envelope('text_completion'), choices: list(completionChoice), 'usage?': USAGE }),
)

const called = object({ name: text, arguments: text })
const TOOL_CALL = named('ToolCall', object({ id: text, type: only('function'), function: called }))

/** vLLM's name and the one before it. */
const reasoning = { 'reasoning?': text, 'reasoning_content?': text }

const ofPrompt = { 'prompt_token_ids?': tokenIds, 'prompt_logprobs?': PROMPT_LOGPROBS }

const CHAT_COMPLETION = named(
  'ChatCompletion',
  object({
    ...envelope('chat.completion'),
    choices: list(
      object({
        index: count,
        message: object({
          role: only('assistant'),
          ...reasoning,
          content: orNull(text),
          refusal: nothing,
          'tool_calls?': list(TOOL_CALL),
        }),
        logprobs: orNull(CHAT_LOGPROBS),
        finish_reason: finishReason,
        stop_reason: stopReason,
        'token_ids?': tokenIds,
      }),
    ),
    usage: USAGE,
    ...ofPrompt,
  }),
)

const CHAT_CHUNK = named(
  'ChatCompletionChunk',
  object({
    ...envelope('chat.completion.chunk'),
    choices: list(
      object({
        index: count,
        delta: object({
          'role?': only('assistant'),
          ...reasoning,
          'content?': text,
          'tool_calls?': list(
            object({
              index: count,
              'id?': text,
              'type?': only('function'),
              function: object({ 'name?': text, arguments: text }),
            }),
          ),
        }),
        logprobs: orNull(CHAT_LOGPROBS),
        finish_reason: finishReason,
        'stop_reason?': stopReason,
        'token_ids?': tokenIds,
      }),
    ),
    'usage?': USAGE,
    ...ofPrompt,
  }),
)

/** Chunks, an error where one comes late, and then `[DONE]`. */
const chunks = (chunk: Schema) => events(anyOf(chunk, ERROR), 'with `stream` its chunks, and `[DONE]` behind the last')

export const COMPLETION_ANSWER: Answer = either(json(COMPLETION, 'The completion'), chunks(COMPLETION_CHUNK))
export const CHAT_ANSWER: Answer = either(json(CHAT_COMPLETION, 'The answer'), chunks(CHAT_CHUNK))
export const INVOCATION_ANSWER: Answer = either(
  json(anyOf(COMPLETION, CHAT_COMPLETION), 'The completion or the answer'),
  chunks(anyOf(COMPLETION_CHUNK, CHAT_CHUNK)),
)
