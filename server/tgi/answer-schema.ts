/** How answers of /generate and /generate_stream look: what routes.ts and answer.ts write. */
import { type Answer, anyOf, count, events, json, list, named, number, object, oneOf, orNull, text } from '../openapi/describe.ts'
import { TGI_ERROR } from '../openapi/refusals.ts'

const flag = { type: 'boolean' }
const logprob = orNull(number)
const likely = { id: count, text, logprob }
const TOP_TOKENS = list(object({ ...likely, special: flag }))

const TOKEN = named('GeneratedToken', object({ ...likely, special: flag, 'alternative_tokens?': list(object(likely)) }))

const FINISH = oneOf('length', 'eos_token', 'stop_sequence')
const seed = orNull({ type: 'integer' })

const sequence = {
  finish_reason: FINISH,
  generated_tokens: count,
  seed,
  prefill: list(object(likely)),
  tokens: list(TOKEN),
  'top_tokens?': list(TOP_TOKENS),
}

export const GENERATE_ANSWER: Answer = json(
  named(
    'Generated',
    object({
      generated_text: text,
      'details?': object({
        ...sequence,
        prompt_tokens: count,
        'best_of_sequences?': list(object({ generated_text: text, ...sequence })),
      }),
    }),
  ),
  'The text, with `details` its tokens',
)

export const STREAM_ANSWER: Answer = events(
  anyOf(
    named(
      'GeneratedEvent',
      object({
        index: count,
        token: TOKEN,
        'top_tokens?': TOP_TOKENS,
        generated_text: orNull(text),
        details: orNull(
          object({ finish_reason: FINISH, prompt_tokens: count, generated_tokens: count, input_length: count, seed }),
        ),
      }),
    ),
    TGI_ERROR,
  ),
  'An event for each token; the last one has the whole text',
)

/** LoRAX's headers of a whole answer. */
export const ADAPTER_ID_HEADER = {
  'x-adapter-id': 'The adapters that served it, percent-encoded; absent where the base did alone',
}
export const TIME_HEADERS = {
  'x-prompt-tokens': 'Tokens of the prompt',
  'x-generated-tokens': 'Tokens of the answer',
  'x-total-time': 'Milliseconds from the request to its answer',
  'x-queue-time': 'Of these, in the queue',
  'x-inference-time': 'Of these, in the engine',
  'x-time-per-token': 'Of these, for each token',
}
