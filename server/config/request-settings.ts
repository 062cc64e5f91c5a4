/** Settings that bound what requests may bring, and how long they may take. */
import { LONGEST_TIMER, type Setting } from './setting.ts'

export const REQUEST_SETTINGS = {
  'body-limit': { kind: 'size', value: 'SIZE', fallback: '16MiB', help: 'largest request body' },
  'request-timeout': {
    kind: 'integer',
    value: 'SECONDS',
    minimum: 1,
    maximum: LONGEST_TIMER,
    fallback: 60,
    help: 'how long a client may take to send a request; 408 then',
  },
  'write-timeout': {
    kind: 'integer',
    value: 'SECONDS',
    minimum: 1,
    maximum: LONGEST_TIMER,
    fallback: 60,
    help: 'how long a client may read nothing of what is there for it; its connection is closed then',
  },
  'idle-timeout': {
    kind: 'integer',
    value: 'SECONDS',
    minimum: 1,
    maximum: LONGEST_TIMER,
    fallback: 75,
    help: 'how long a connection may stay open between two requests',
  },
  'prefix-cache-scope': {
    kind: 'choice',
    choices: ['tenant', 'all'],
    fallback: 'tenant',
    help: "whose prompts a request's may be found in the cache for; without keys there is one tenant",
  },
  'enable-prompt-tokens-details': {
    kind: 'flag',
    fallback: false,
    help: 'tell in `usage` how many tokens of the prompt were found in the prefix cache',
  },
  'max-concurrent-requests': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    fallback: 1024,
    help: 'generating and tokenizing requests in flight; more are told to come again (429)',
  },
  // What a request costs is counted before it runs (server/cost.ts). Logprobs: a whole answer's stay in memory, 8 to 16 bytes each, until they are written.
  'max-request-sequences': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    fallback: 512,
    help: 'sequences (prompts times n) of one request; more are refused (400)',
  },
  'max-request-tokens': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    fallback: 2 ** 24,
    help: 'tokens of one request: the prompt and max_tokens of each of its sequences',
  },
  'max-request-logprobs': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    fallback: 2 ** 23,
    help: 'logprobs of one request: tokens that have one times 1 + the likeliest beside it',
  },
  'max-sequences-in-flight': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    fallback: 4096,
    help: 'sequences of all requests in flight; a request that would bring more is told to come again (429)',
  },
  'max-logprobs-in-flight': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    fallback: 2 ** 25,
    help: 'logprobs of all requests in flight, which may take 16 bytes each; 429 likewise',
  },
  'response-store-size': {
    kind: 'size',
    value: 'SIZE',
    fallback: '64MiB',
    help: 'memory for responses of /v1/responses that can be continued or fetched; the oldest make room',
  },
  'max-websocket-streams': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    maximum: 1024,
    fallback: 8,
    help: 'responses that one WebSocket may have in progress at a time, each by its stream_id',
  },
} as const satisfies Record<string, Setting>
