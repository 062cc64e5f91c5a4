/** How answers of /v1/messages look, whole and as events: what writer.ts writes. */
import {
  type Answer,
  anyOf,
  anything,
  count,
  either,
  events,
  json,
  list,
  named,
  object,
  oneOf,
  only,
  orNull,
  type Schema,
  text,
} from '../openapi/describe.ts'
import { ANTHROPIC_ERROR } from '../openapi/refusals.ts'

const USAGE = named(
  'MessageUsage',
  object({ input_tokens: count, cache_creation_input_tokens: count, cache_read_input_tokens: count, output_tokens: count }),
)

const BLOCK = named(
  'ContentBlock',
  anyOf(
    object({ type: only('text'), text }),
    object({ type: only('thinking'), thinking: text, signature: text }),
    object({ type: only('tool_use'), id: text, name: text, input: anything }),
  ),
)

const ending = {
  stop_reason: orNull(oneOf('end_turn', 'max_tokens', 'stop_sequence', 'tool_use')),
  stop_sequence: orNull(text),
}

const MESSAGE = named(
  'Message',
  object({
    id: text,
    type: only('message'),
    role: only('assistant'),
    model: text,
    content: list(BLOCK),
    ...ending,
    usage: USAGE,
  }),
)

const event = (type: string, fields: Record<string, Schema> = {}) => object({ type: only(type), ...fields })

const EVENT = named(
  'MessageEvent',
  anyOf(
    event('message_start', { message: MESSAGE }),
    event('ping'),
    event('content_block_start', { index: count, content_block: BLOCK }),
    event('content_block_delta', {
      index: count,
      delta: anyOf(
        object({ type: only('text_delta'), text }),
        object({ type: only('thinking_delta'), thinking: text }),
        object({ type: only('signature_delta'), signature: text }),
        object({ type: only('input_json_delta'), partial_json: text }),
      ),
    }),
    event('content_block_stop', { index: count }),
    event('message_delta', { delta: object(ending), usage: USAGE }),
    event('message_stop'),
    ANTHROPIC_ERROR,
  ),
)

export const MESSAGE_ANSWER: Answer = either(
  json(MESSAGE, 'The message'),
  events(EVENT, 'with `stream` its events, whose `event` line is their type'),
)

export const COUNT_ANSWER: Answer = json(named('MessageTokensCount', object({ input_tokens: count })), 'How many tokens that is')
