/** JSON schemas of the request bodies: OpenAI's fields and vLLM's extras. Fields that are known and not served are listed, so that their error can say so. */
import { MAX_LOGPROBS, SAMPLING_OPTIONS, type SamplingOption } from '../../runtime/sampling-options.ts'
import { documentedAs, only, orNull, type Schema } from '../openapi/describe.ts'
import { STRUCTURED_FIELDS } from '../structured/request.ts'
import type { Serving } from '../types.ts'
import { documentedMessages } from './documented-messages.ts'

export const nullable = (schema: object) => ({ anyOf: [schema, { type: 'null' }] })
export const integer = (minimum: number, maximum = Number.MAX_SAFE_INTEGER) => nullable({ type: 'integer', minimum, maximum })
export const boolean = nullable({ type: 'boolean' })
export const string = nullable({ type: 'string' })

/** Which ids there are depends on what serves; the document names those that some adapter may have. */
export function tokenIdsOf({ engine }: Pick<Serving, 'engine'>) {
  const { vocabSize, addedTokens } = engine.info
  const id = { type: 'integer', minimum: 0 }
  const items = documentedAs({ ...id, maximum: 2 ** 31 - 1 }, { ...id, maximum: vocabSize + addedTokens - 1 })
  return { type: 'array', items }
}

/** A place in the queue; one that is not 0 is refused where nobody has one. */
export const priorityField = ({ scheduling }: Pick<Serving, 'scheduling'>) => {
  const any = nullable({ type: 'integer', minimum: -(2 ** 31), maximum: 2 ** 31 - 1 })
  return scheduling === 'priority' ? any : documentedAs(any, orNull(only(0)))
}

/** With at most 64 of them: an automaton is built of all their characters while others wait (stop-strings.ts). */
const stopString = { type: 'string', minLength: 1, maxLength: 1024 }

/** See bad-words.ts. */
const BAD_WORDS = {
  type: 'array',
  items: { type: 'string', minLength: 1, maxLength: 256 },
  maxItems: 1024,
  description: 'Words that an answer must not hold, as the tokenizer writes them at the beginning of a text and behind a space.',
}

export const MAX_CHOICES = 128

/** A token's id as a key. */
const TOKEN_KEY = { pattern: '^(0|[1-9][0-9]*)$' }
const bias = { type: 'number', minimum: -100, maximum: 100 }

type Properties = Record<string, object>
export interface BodySchema {
  type: 'object'
  /** Its name among the API document's components. */
  title?: string
  required?: string[]
  properties: Properties
  /** For the API document: what a reader may send as it stands. */
  examples: object[]
}

/** The scalar options that a body has by name, with the model's defaults. */
function samplingFields({ defaults }: Serving): Properties {
  const fields: Properties = {}
  for (const [name, { field, fallback, ofModel, cap, ...range }] of Object.entries<SamplingOption>(SAMPLING_OPTIONS))
    if (field) {
      const usual = defaults[name as keyof typeof defaults] ?? fallback
      // What stands for "not asked for" is no value that a body may have.
      const said = usual >= (range.minimum ?? usual)
      fields[field] = nullable({ ...range, ...(said && { default: usual }) })
    }
  return fields
}

/** Of both routes. No list of tokens is longer than the vocabulary, with what adapters may add to it: each is a set. */
export function common(serving: Serving): Properties {
  const { vocabSize, addedTokens } = serving.engine.info
  const mostTokens = vocabSize + addedTokens
  const tokenIds = tokenIdsOf(serving)
  return {
    model: {
      ...string,
      description: "The base's name, an adapter's, or `base:adapter`. The header x-lora-adapter goes before it.",
    },
    n: integer(1, MAX_CHOICES),
    max_tokens: integer(0),
    ...samplingFields(serving),
    seed: nullable({ type: 'integer', format: 'int64' }),
    stop: nullable({
      anyOf: [stopString, { type: 'array', items: stopString, maxItems: 64 }],
    }),
    stop_token_ids: nullable({ ...tokenIds, maxItems: mostTokens }),
    include_stop_str_in_output: boolean,
    ignore_eos: boolean,
    logit_bias: documentedAs(
      nullable({ type: 'object', maxProperties: mostTokens, additionalProperties: bias }),
      nullable({ type: 'object', maxProperties: mostTokens, propertyNames: TOKEN_KEY, additionalProperties: bias }),
    ),
    allowed_token_ids: nullable({ ...tokenIds, minItems: 1, maxItems: mostTokens }),
    bad_words: nullable(BAD_WORDS),
    skip_special_tokens: boolean,
    add_special_tokens: boolean,
    truncate_prompt_tokens: integer(1),
    return_token_ids: boolean,
    stream: boolean,
    stream_options: nullable({
      type: 'object',
      properties: { include_usage: boolean, continuous_usage_stats: boolean, include_obfuscation: boolean },
      additionalProperties: false,
    }),
    priority: priorityField(serving),
    request_id: nullable({ type: 'string', maxLength: 256 }),
    cache_salt: nullable({ type: 'string', minLength: 1, maxLength: 1024 }),
    user: string,
    // What OpenAI keeps beside an answer; nothing here depends on it.
    metadata: nullable({ type: 'object' }),
    store: boolean,
    service_tier: string,
    safety_identifier: string,
    prompt_cache_key: string,
    prompt_cache_retention: string,
    // How long an answer should be: no model here knows the hint.
    verbosity: string,
    return_tokens_as_token_ids: boolean,
    ...STRUCTURED_FIELDS,
  }
}

export const completionSchema = (serving: Serving): BodySchema => ({
  type: 'object',
  title: 'CompletionRequest',
  examples: [{ model: serving.model.name, prompt: 'Once upon a time', max_tokens: 16, temperature: 0 }],
  required: ['prompt'],
  properties: {
    ...common(serving),
    prompt: {
      description: 'Text or token ids, one prompt or several.',
      anyOf: [
        { type: 'string' },
        { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: 2048 },
        { ...tokenIdsOf(serving), minItems: 1 },
        { type: 'array', items: { ...tokenIdsOf(serving), minItems: 1 }, minItems: 1, maxItems: 2048 },
      ],
    },
    best_of: integer(1, MAX_CHOICES),
    echo: boolean,
    logprobs: integer(0, MAX_LOGPROBS),
    suffix: string,
  },
})

const MESSAGES: Schema = {
  type: 'array',
  minItems: 1,
  // OpenAI's own limit; templates loop over messages.
  maxItems: 2048,
  items: {
    type: 'object',
    required: ['role'],
    properties: {
      role: { type: 'string', minLength: 1 },
      content: nullable({
        anyOf: [
          { type: 'string' },
          { type: 'array', items: { type: 'object', required: ['type'], properties: { type: { type: 'string' } } } },
        ],
      }),
    },
  },
}

/** What is rendered with the model's chat template, and how. */
export const CONVERSATION: Properties = {
  messages: documentedAs(MESSAGES, documentedMessages(MESSAGES)),
  add_generation_prompt: boolean,
  continue_final_message: boolean,
  chat_template: string,
  chat_template_kwargs: nullable({ type: 'object' }),
  tools: nullable({ type: 'array', items: { type: 'object' } }),
  documents: nullable({ type: 'array', items: { type: 'object' } }),
}

/** A JSON schema of a function's arguments. */
export const PARAMETERS: Schema = { type: 'object', properties: { type: only('object') } }

/** A function that may be called. */
const TOOL = {
  type: 'object',
  required: ['type', 'function'],
  properties: {
    type: { type: 'string', enum: ['function'] },
    function: {
      type: 'object',
      required: ['name'],
      properties: {
        name: { type: 'string', pattern: '^[a-zA-Z0-9_-]{1,64}$' },
        description: string,
        parameters: documentedAs(nullable({ type: 'object' }), orNull(PARAMETERS)),
        strict: boolean,
      },
    },
  },
}

/** How much is thought before the answer. */
export const EFFORT = nullable({ type: 'string', enum: ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'] })

export const chatSchema = (serving: Serving): BodySchema => ({
  type: 'object',
  title: 'ChatCompletionRequest',
  examples: [
    { model: serving.model.name, messages: [{ role: 'user', content: 'Tell me a story.' }], max_tokens: 32, temperature: 0 },
  ],
  required: ['messages'],
  properties: {
    ...common(serving),
    ...CONVERSATION,
    max_completion_tokens: integer(0),
    logprobs: boolean,
    top_logprobs: integer(0, MAX_LOGPROBS),
    tools: nullable({ type: 'array', items: TOOL, maxItems: 1024 }),
    tool_choice: nullable({
      anyOf: [
        { type: 'string', enum: ['none', 'auto', 'required'] },
        {
          type: 'object',
          required: ['type', 'function'],
          properties: {
            type: { type: 'string', enum: ['function'] },
            function: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
          },
        },
      ],
    }),
    parallel_tool_calls: boolean,
    reasoning_effort: EFFORT,
    include_reasoning: boolean,
    enable_thinking: boolean,
    echo: boolean,
  },
})

/** Fields of vLLM, SGLang, TGI and llama.cpp that clients written for them send as null when they mean nothing by them. */
const OTHERS = [
  ...['kv_transfer_params', 'mm_processor_kwargs', 'vllm_xargs', 'chat_template_content_format', 'structural_tag'],
  ...['guided_decoding_backend', 'guided_whitespace_pattern', 'truncation_side', 'data_parallel_rank', 'bootstrap_host'],
  ...['bootstrap_port', 'bootstrap_room', 'regex', 'ebnf', 'json_schema', 'separate_reasoning', 'stream_reasoning'],
  ...['custom_logit_processor', 'return_hidden_states', 'rid', 'no_stop_trim', 'grammar', 'typical_p', 'watermark'],
  ...['do_sample', 'max_new_tokens', 'dynatemp_range', 'mirostat', 'cache_prompt', 'n_predict', 'plugins', 'transforms'],
]

/** Known fields that would change the answer and are not served: refused unless they are absent, null, or hold one of the values that change nothing. */
export const UNSERVED: Record<string, unknown[]> = {
  suffix: [],
  length_penalty: [1],
  use_beam_search: [false],
  early_stopping: [false],
  spaces_between_special_tokens: [true],
  guided_json: [],
  guided_regex: [],
  guided_choice: [],
  guided_grammar: [],
  guided_json_object: [false],
  guided_decoding_backend: [],
  guided_whitespace_pattern: [],
  structural_tag: [],
  functions: [[]],
  function_call: ['none', 'auto'],
  audio: [],
  modalities: [['text']],
  moderation: [],
  prediction: [],
  prompt_cache_options: [],
  web_search_options: [],
  logits_processors: [[]],
  logprob_token_ids: [],
  thinking_token_budget: [-1],
  lora: [],
  ...Object.fromEntries(OTHERS.map((name) => [name, []])),
}

/** What to send in place of a field that is not served. */
export const INSTEAD: Record<string, string> = {
  guided_json: '{"structured_outputs": {"json": …}}',
  guided_regex: '{"structured_outputs": {"regex": …}}',
  guided_choice: '{"structured_outputs": {"choice": […]}}',
  guided_grammar: '{"structured_outputs": {"grammar": …}}',
  guided_json_object: '{"structured_outputs": {"json_object": true}}',
  structural_tag: '{"structured_outputs": {"structural_tag": …}}',
}
