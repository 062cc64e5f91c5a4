/** The bodies of POST /v1/messages and /v1/messages/count_tokens: Anthropic's fields. */
import type { BodySchema } from '../openai/schemas.ts'
import { boolean, integer, nullable, string } from '../openai/schemas.ts'
import type { Serving } from '../types.ts'

const blocks = { type: 'array', items: { type: 'object', required: ['type'], properties: { type: { type: 'string' } } } }
const number = (minimum: number, maximum: number) => nullable({ type: 'number', minimum, maximum })

const conversation = {
  model: {
    ...string,
    description: "The base's name, an adapter's, or `base:adapter`. The header x-lora-adapter goes before it.",
  },
  messages: {
    type: 'array',
    minItems: 1,
    maxItems: 2048,
    items: {
      type: 'object',
      required: ['role', 'content'],
      properties: {
        role: { type: 'string', enum: ['user', 'assistant', 'system'] },
        content: { anyOf: [{ type: 'string' }, blocks] },
      },
    },
  },
  system: nullable({ anyOf: [{ type: 'string' }, blocks] }),
  tools: nullable({
    type: 'array',
    maxItems: 128,
    items: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
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
      effort: string,
      format: nullable({ type: 'object', required: ['type'], properties: { type: { type: 'string', enum: ['json_schema'] } } }),
    },
  }),
  output_format: nullable({
    type: 'object',
    required: ['type'],
    properties: { type: { type: 'string', enum: ['json_schema'] } },
  }),
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
