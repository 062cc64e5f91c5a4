/** How answers of the utility routes look. */
import {
  type Answer,
  about,
  anything,
  count,
  flag,
  json,
  list,
  named,
  object,
  oneOf,
  only,
  orNull,
  text,
} from '../openapi/describe.ts'

const MODEL = named(
  'Model',
  object({
    id: text,
    object: only('model'),
    created: count,
    owned_by: text,
    root: text,
    parent: about("The base's name; null of the base.", orNull(text)),
    max_model_len: count,
    permission: list(anything),
    'digest?': about('Of an adapter, for admins; null before it has been read.', orNull(text)),
    'method?': orNull(text),
  }),
)
export const MODEL_ANSWER: Answer = json(MODEL, 'The model')
export const MODELS_ANSWER: Answer = json(
  named('Models', object({ object: only('list'), data: list(MODEL) })),
  'All that there are',
)

export const TOKENIZED_ANSWER: Answer = json(
  named('Tokenized', object({ count, max_model_len: count, tokens: list(count), token_strs: orNull(list(text)) })),
  'The tokens',
)
export const DETOKENIZED_ANSWER: Answer = json(named('Detokenized', object({ prompt: text })), 'The text')
export const TOKENIZER_ANSWER: Answer = json(anything, 'tokenizer_config.json')

/** One version of an adapter. */
const version = {
  state: oneOf('known', 'loading', 'loaded', 'refused', 'draining'),
  digest: orNull(text),
  method: orNull(text),
  rank: orNull(count),
  'vocab_size?': count,
  origin: about(
    'How it came here: found in the folder of --adapters, named on the command line, registered over HTTP (also before the last start), or brought from the hub by a request.',
    orNull(oneOf('folder', 'command_line', 'api', 'request')),
  ),
  root: text,
  source: about('`hub: ORG/NAME@REVISION`', orNull(text)),
  pinned: flag,
  leases: count,
  uses: count,
  last_use: orNull(count),
  load_ms: orNull(count),
  bytes: object({ host: count, pool: count }),
  refusal: about('Why it cannot be served.', orNull(text)),
}
const limit = orNull(count)

const ADAPTER = named(
  'Adapter',
  object({
    name: text,
    created: count,
    ...version,
    limits: object({
      max_requests: limit,
      max_queued: limit,
      tokens_per_minute: limit,
      own: list(oneOf('max_requests', 'max_queued', 'tokens_per_minute')),
    }),
    tool_call_parser: about('Its own; null: what its folder or the base says.', orNull(text)),
    reasoning_parser: orNull(text),
    canary: orNull(
      object({ share: { type: 'number' }, requests: object({ main: count, canary: count, fallbacks: count }), ...version }),
    ),
    previous: orNull(object({ digest: orNull(text), root: text })),
    draining: list(object(version)),
  }),
)
export const ADAPTER_ANSWER: Answer = json(ADAPTER, 'The adapter')
export const ADAPTERS_ANSWER: Answer = json(named('Adapters', object({ adapters: list(ADAPTER) })), 'All that there are')

export const SERVER_ANSWER: Answer = json(
  named('Server', object({ name: only('lorikeet'), version: text, model: text, adapters: count, docs: text })),
  'What this is',
)
export const VERSION_ANSWER: Answer = json(object({ version: text }), 'The version')
export const LOAD_ANSWER: Answer = json(object({ server_load: count }), 'How many')
