/** The body of POST /v1/responses: OpenAI's fields, and those of vLLM's sampling that chat has too. */
import { MAX_LOGPROBS } from '../../runtime/sampling-options.ts'
import { type BodySchema, boolean, common, EFFORT, integer, nullable, string } from '../openai/schemas.ts'
import { documentedAs } from '../openapi/describe.ts'
import type { Serving } from '../types.ts'
import { DOCUMENTED_CHOICE, DOCUMENTED_FORMAT, DOCUMENTED_TOOL, INPUT_ITEMS } from './documented.ts'

/** Fields that chat has and this API does not: it has one choice, its own names, and no ids of tokens. */
const NOT_HERE = [
  'n',
  'max_tokens',
  'add_special_tokens',
  'truncate_prompt_tokens',
  'return_token_ids',
  'prompt_logprobs',
  'response_format',
  'min_tokens',
]

/** Those that go into the chat body as they are. */
export function sharedFields(serving: Serving): Record<string, object> {
  const fields = { ...common(serving), chat_template: string, chat_template_kwargs: nullable({ type: 'object' }) }
  return Object.fromEntries(
    Object.entries(fields).filter(([name]) => !NOT_HERE.includes(name) && !['model', 'stream', 'stream_options'].includes(name)),
  )
}

const INCLUDABLE = [
  'message.output_text.logprobs',
  'reasoning.encrypted_content',
  'file_search_call.results',
  'web_search_call.results',
  'web_search_call.action.sources',
  'message.input_image.image_url',
  'computer_call_output.output.image_url',
  'code_interpreter_call.outputs',
]

export const responsesSchema = (serving: Serving): BodySchema => ({
  type: 'object',
  examples: [{ model: serving.model.name, input: 'Tell me a story.', max_output_tokens: 32, temperature: 0 }],
  properties: {
    model: common(serving).model,
    input: {
      ...nullable({
        anyOf: [{ type: 'string' }, INPUT_ITEMS],
      }),
      description: 'A text, or items: message, function_call, function_call_output, reasoning, item_reference.',
    },
    instructions: {
      ...string,
      description: 'What stands before the conversation; of this response alone, not of those that continue it.',
    },
    max_output_tokens: integer(1),
    max_tool_calls: integer(1),
    ...sharedFields(serving),
    stream: boolean,
    stream_options: nullable({ type: 'object', properties: { include_obfuscation: boolean }, additionalProperties: false }),
    background: { ...boolean, description: 'Answer at once and generate meanwhile; needs `store`.' },
    store: { ...boolean, description: 'Keep the response (the default), in memory, as long as there is room.' },
    previous_response_id: { ...string, description: 'Goes on with the conversation of a stored response.' },
    include: nullable({ type: 'array', maxItems: 16, items: { type: 'string', enum: INCLUDABLE } }),
    top_logprobs: integer(0, MAX_LOGPROBS),
    truncation: {
      ...nullable({ type: 'string', enum: ['auto', 'disabled'] }),
      description: '`auto`: what does not fit the context is left out, from the beginning of the conversation on.',
    },
    text: nullable({
      type: 'object',
      properties: {
        format: documentedAs(
          nullable({
            type: 'object',
            required: ['type'],
            properties: {
              type: { type: 'string', enum: ['text', 'json_object', 'json_schema'] },
              name: string,
              schema: nullable({ type: 'object' }),
            },
          }),
          DOCUMENTED_FORMAT,
        ),
        verbosity: nullable({ type: 'string', enum: ['low', 'medium', 'high'] }),
      },
      additionalProperties: false,
    }),
    reasoning: nullable({
      type: 'object',
      properties: { effort: EFFORT, summary: string, generate_summary: string },
    }),
    tools: nullable({
      type: 'array',
      maxItems: 128,
      items: documentedAs({ type: 'object', required: ['type'], properties: { type: { type: 'string' } } }, DOCUMENTED_TOOL),
    }),
    tool_choice: documentedAs(
      nullable({ anyOf: [{ type: 'string' }, { type: 'object', required: ['type'], properties: { type: { type: 'string' } } }] }),
      DOCUMENTED_CHOICE,
    ),
    parallel_tool_calls: boolean,
    metadata: nullable({ type: 'object', maxProperties: 16, additionalProperties: { type: 'string', maxLength: 512 } }),
    service_tier: string,
    safety_identifier: string,
    prompt_cache_key: string,
    prompt_cache_retention: string,
  },
})
