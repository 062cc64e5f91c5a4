/** How responses, their items and their events look: what response.ts and writer.ts write. */
import { TOKEN_LOGPROB } from '../openai/answer-schemas.ts'
import {
  type Answer,
  about,
  anyOf,
  anything,
  count,
  either,
  events,
  flag,
  json,
  type Link,
  list,
  named,
  number,
  object,
  oneOf,
  only,
  orNull,
  type Schema,
  text,
} from '../openapi/describe.ts'

const itemStatus = oneOf('in_progress', 'completed', 'incomplete')

const OUTPUT_TEXT = named(
  'OutputText',
  object({ type: only('output_text'), text, annotations: list(anything), logprobs: list(TOKEN_LOGPROB) }),
)
const REASONING_TEXT = named('ReasoningText', object({ type: only('reasoning_text'), text }))

const ITEM = named(
  'OutputItem',
  anyOf(
    object({ id: text, type: only('message'), status: itemStatus, role: only('assistant'), content: list(OUTPUT_TEXT) }),
    object({
      id: text,
      type: only('reasoning'),
      status: itemStatus,
      summary: list(anything),
      content: list(REASONING_TEXT),
    }),
    object({ id: text, type: only('function_call'), status: itemStatus, call_id: text, name: text, arguments: text }),
  ),
)

const USAGE = named(
  'ResponseUsage',
  object({
    input_tokens: count,
    input_tokens_details: object({ cached_tokens: count }),
    output_tokens: count,
    output_tokens_details: object({ reasoning_tokens: count }),
    total_tokens: count,
  }),
)

/** What the request said, or what stands for nothing said. */
const RESPONSE = named(
  'Response',
  object({
    id: text,
    object: only('response'),
    created_at: count,
    completed_at: orNull(count),
    status: oneOf('queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled'),
    background: flag,
    error: orNull(object({ code: text, message: text })),
    incomplete_details: orNull(object({ reason: only('max_output_tokens') })),
    instructions: orNull(text),
    max_output_tokens: orNull(count),
    max_tool_calls: orNull(count),
    model: text,
    output: list(ITEM),
    parallel_tool_calls: flag,
    previous_response_id: orNull(text),
    prompt_cache_key: orNull(text),
    reasoning: object({ effort: orNull(text), summary: orNull(text) }),
    safety_identifier: orNull(text),
    service_tier: text,
    store: flag,
    temperature: number,
    text: object({ format: anything, verbosity: text }),
    tool_choice: anyOf(text, anything),
    tools: list(anything),
    top_logprobs: count,
    top_p: number,
    truncation: oneOf('auto', 'disabled'),
    usage: orNull(USAGE),
    user: orNull(text),
    metadata: { type: 'object', additionalProperties: text },
  }),
)

const event = (type: Schema, fields: Record<string, Schema>) => object({ type, sequence_number: count, ...fields })
const ofItem = { item_id: text, output_index: count }
const ofPart = { ...ofItem, content_index: count }
const part = anyOf(OUTPUT_TEXT, REASONING_TEXT)
const logprobs = list(TOKEN_LOGPROB)

const EVENT = named(
  'ResponseEvent',
  anyOf(
    event(
      oneOf(
        ...['response.created', 'response.queued', 'response.in_progress', 'response.completed', 'response.incomplete'],
        ...['response.failed', 'response.cancelled'],
      ),
      { response: RESPONSE },
    ),
    event(oneOf('response.output_item.added', 'response.output_item.done'), { output_index: count, item: ITEM }),
    event(oneOf('response.content_part.added', 'response.content_part.done'), { ...ofPart, part }),
    event(only('response.output_text.delta'), { ...ofPart, delta: text, logprobs }),
    event(only('response.output_text.done'), { ...ofPart, text, logprobs }),
    event(only('response.reasoning_text.delta'), { ...ofPart, delta: text }),
    event(only('response.reasoning_text.done'), { ...ofPart, text }),
    event(only('response.function_call_arguments.delta'), { ...ofItem, delta: text }),
    event(only('response.function_call_arguments.done'), { ...ofItem, name: text, arguments: text }),
  ),
)

/** A response as it stands. */
export const STORED_ANSWER: Answer = json(RESPONSE, 'The response')

export const RESPONSE_ANSWER: Answer = either(
  STORED_ANSWER,
  events(EVENT, 'with `stream` its events, whose `event` line is their type'),
)

/** What can be done with a response that was made. */
export const RESPONSE_LINKS: Record<string, Link> = Object.fromEntries(
  ['getResponse', 'listInputItems', 'cancelResponse', 'deleteResponse'].map((operationId) => [
    operationId,
    { operationId, parameters: { id: '$response.body#/id' } },
  ]),
)

export const DELETED_ANSWER: Answer = json(
  named('DeletedResponse', object({ id: text, object: only('response'), deleted: only(true) })),
  'It is forgotten',
)

/** As the request sent them, with an id each. */
const INPUT_ITEM = about('Of the request, as it sent it, or of a response before it.', object({ id: text, type: text }))

export const ITEMS_ANSWER: Answer = json(
  named(
    'InputItems',
    object({
      object: only('list'),
      data: list({ ...INPUT_ITEM, additionalProperties: true }),
      first_id: orNull(text),
      last_id: orNull(text),
      has_more: flag,
    }),
  ),
  'What it answered',
)
