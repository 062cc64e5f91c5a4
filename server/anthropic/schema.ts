/** The bodies of POST /v1/messages and /v1/messages/count_tokens: Anthropic's fields. */
import type { BodySchema } from '../openai/schemas.ts'
import { boolean, EFFORT, integer, nullable, PARAMETERS, string } from '../openai/schemas.ts'
import { anyOf, anything, documentedAs, list, object, oneOf, only, orNull, type Schema, text } from '../openapi/describe.ts'
import type { Serving } from '../types.ts'

const blocks = { type: 'array', items: { type: 'object', required: ['type'], properties: { type: { type: 'string' } } } }
const number = (minimum: number, maximum: number) => nullable({ type: 'number', minimum, maximum })

const FORMAT = nullable({ type: 'object', required: ['type'], properties: { type: { type: 'string', enum: ['json_schema'] } } })
const DOCUMENTED_FORMAT = orNull(object({ type: only('json_schema'), schema: anything }))

/** A function: no other tool is one of this server. */
const TOOL = object({
  'type?': oneOf('custom', null),
  name: { type: 'string', pattern: '^[a-zA-Z0-9_-]{1,64}$' },
  'description?': orNull(text),
  input_schema: PARAMETERS,
})

const TEXT_BLOCK = object({ type: only('text'), text })
const said = (...blocks: Schema[]) => anyOf(text, list(anyOf(TEXT_BLOCK, ...blocks)))

/** What request.ts makes messages of. */
const DOCUMENTED_MESSAGE = anyOf(
  object({
    role: only('user'),
    content: said(
      object({
        type: only('tool_result'),
        tool_use_id: text,
        'content?': orNull(anyOf(text, list(TEXT_BLOCK))),
        'is_error?': boolean,
      }),
    ),
  }),
  object({
    role: only('assistant'),
    content: said(
      object({ type: only('thinking'), thinking: text }),
      object({ type: only('redacted_thinking') }),
      object({ type: only('tool_use'), id: text, name: text, 'input?': anything }),
    ),
  }),
  object({ role: only('system'), content: said() }),
)

const conversation = {
  model: {
    ...string,
    description: "The base's name, an adapter's, or `base:adapter`. The header x-lora-adapter goes before it.",
  },
  messages: {
    type: 'array',
    minItems: 1,
    maxItems: 2048,
    items: documentedAs(
      {
        type: 'object',
        required: ['role', 'content'],
        properties: {
          role: { type: 'string', enum: ['user', 'assistant', 'system'] },
          content: { anyOf: [{ type: 'string' }, blocks] },
        },
      },
      DOCUMENTED_MESSAGE,
    ),
  },
  system: documentedAs(nullable({ anyOf: [{ type: 'string' }, blocks] }), orNull(anyOf(text, list(TEXT_BLOCK)))),
  tools: nullable({
    type: 'array',
    maxItems: 128,
    items: documentedAs({ type: 'object', required: ['name'], properties: { name: { type: 'string' } } }, TOOL),
  }),
  tool_choice: nullable({
    type: 'object',
    required: ['type'],
    properties: {
      type: { type: 'string', enum: ['auto', 'any', 'tool', 'none'] },
      name: string,
      disable_parallel_tool_use: boolean,
    },
  }),
  thinking: nullable({
    type: 'object',
    required: ['type'],
    properties: {
      type: { type: 'string', enum: ['enabled', 'disabled', 'adaptive'] },
      budget_tokens: integer(1),
      display: string,
    },
  }),
  output_config: nullable({
    type: 'object',
    properties: {
      effort: EFFORT,
      format: documentedAs(FORMAT, DOCUMENTED_FORMAT),
    },
  }),
  output_format: documentedAs(FORMAT, DOCUMENTED_FORMAT),
  cache_control: nullable({ type: 'object' }),
  context_management: {
    ...nullable({ type: 'object' }),
    description: 'Taken, since agents send it; the conversation is used as it comes.',
  },
}

export const messagesSchema = ({ model }: Serving): BodySchema => ({
  type: 'object',
  examples: [{ model: model.name, max_tokens: 32, messages: [{ role: 'user', content: 'Tell me a story.' }] }],
  required: ['messages', 'max_tokens'],
  properties: {
    ...conversation,
    max_tokens: { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
    stop_sequences: nullable({ type: 'array', maxItems: 64, items: { type: 'string', minLength: 1, maxLength: 1024 } }),
    stream: boolean,
    temperature: number(0, 2),
    top_p: nullable({ type: 'number', exclusiveMinimum: 0, maximum: 1 }),
    top_k: integer(0),
    metadata: nullable({ type: 'object', properties: { user_id: string } }),
    service_tier: string,
  },
})

export const countSchema = ({ model }: Serving): BodySchema => ({
  type: 'object',
  examples: [{ model: model.name, messages: [{ role: 'user', content: 'Tell me a story.' }] }],
  required: ['messages'],
  properties: conversation,
})
