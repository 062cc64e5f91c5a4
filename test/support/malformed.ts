/** Request bodies that are wrong in some way, generated from a seed: bytes that are no JSON, JSON that is no request, requests with one bad field. */
import type { seeded } from './pace.ts'

export interface Malformed {
  what: string
  path: string
  headers: Record<string, string>
  body: string | Uint8Array
  /** False where the damage may happen to leave a valid request. */
  surely: boolean
}

type Random = ReturnType<typeof seeded>
const JSON_HEADERS = { 'content-type': 'application/json' }
const CHAT = { model: 'pirate', messages: [{ role: 'user', content: 'Tell me a story about a fox.' }], max_tokens: 2 }
const COMPLETION = { model: 'pirate', prompt: 'Once there was a', max_tokens: 2 }

/** Values that no field takes. */
const NONSENSE: unknown[] = [{ a: 1 }, [[[]]], '\u0000', -1e308, 'NaN', [null], { __proto__: null, constructor: 1 }]
const TYPED = [
  'max_tokens',
  'temperature',
  'top_p',
  'n',
  'seed',
  'stream',
  'logit_bias',
  'presence_penalty',
  'min_tokens',
  'stop_token_ids',
  'top_k',
]
const OUT_OF_RANGE: Record<string, unknown>[] = [
  { max_tokens: -1 },
  { max_tokens: 1.5 },
  { temperature: 9 },
  { temperature: -0.1 },
  { top_p: 0 },
  { top_p: 2 },
  { n: 0 },
  { n: 1e9 },
  { min_p: 7 },
  { frequency_penalty: 3 },
  { stop: [''] },
  { logit_bias: { x: 1 } },
  { logit_bias: { 5: 1e4 } },
  { stream_options: { include_usage: 'yes' } },
  { no_such_field: 1 },
  { model: 'no-such-adapter' },
]

type Kind = (random: Random) => Malformed

function chatLike(random: Random): { path: string; valid: Record<string, unknown> } {
  return random.below(2) ? { path: '/v1/chat/completions', valid: CHAT } : { path: '/v1/completions', valid: COMPLETION }
}

const kinds: Kind[] = [
  (random) => {
    const { path, valid } = chatLike(random)
    const text = JSON.stringify(valid)
    return { what: 'cut JSON', path, headers: JSON_HEADERS, body: text.slice(0, random.below(text.length)), surely: true }
  },
  (random) => {
    const { path, valid } = chatLike(random)
    const bytes = Buffer.from(JSON.stringify(valid))
    for (let i = 0; i < 1 + random.below(4); i++) bytes[random.below(bytes.length)] = random.below(256)
    return { what: 'damaged bytes', path, headers: JSON_HEADERS, body: bytes, surely: false }
  },
  (random) => {
    const { path, valid } = chatLike(random)
    const field = random.pick(TYPED)
    return {
      what: `${field} of a wrong type`,
      path,
      headers: JSON_HEADERS,
      body: JSON.stringify({ ...valid, [field]: random.pick(NONSENSE) }),
      surely: true,
    }
  },
  (random) => {
    const { path, valid } = chatLike(random)
    const bad = random.pick(OUT_OF_RANGE)
    return { what: JSON.stringify(bad), path, headers: JSON_HEADERS, body: JSON.stringify({ ...valid, ...bad }), surely: true }
  },
  (random) => {
    const messages = random.pick<unknown>([
      [],
      'hello',
      [{}],
      [{ role: 1 }],
      [null],
      [{ role: 'user', content: 7 }],
      { role: 'user' },
    ])
    const body = JSON.stringify({ ...CHAT, messages })
    return { what: 'bad messages', path: '/v1/chat/completions', headers: JSON_HEADERS, body, surely: true }
  },
  (random) => {
    const prompt = random.pick<unknown>([[], [-1], [999_999_999], [1.5], [[]], [['a']], null, {}, [1, 'a'], [4000]])
    const body = JSON.stringify({ ...COMPLETION, prompt })
    return { what: 'bad prompt', path: '/v1/completions', headers: JSON_HEADERS, body, surely: true }
  },
  (random) => {
    const header = random.pick([
      'pirate;w=',
      'pirate;w=x',
      ',,',
      'pirate, pirate',
      '"',
      'no-such;w=1',
      '(pirate json)',
      'pirate;w=1e400',
      '?1',
      '5',
    ])
    return {
      what: `x-lora-adapter: ${header}`,
      path: '/v1/chat/completions',
      headers: { ...JSON_HEADERS, 'x-lora-adapter': header },
      body: JSON.stringify(CHAT),
      surely: true,
    }
  },
  (random) => {
    const type = random.pick(['text/plain', 'application/xml', 'multipart/form-data', 'application/x-www-form-urlencoded'])
    return {
      what: `content-type ${type}`,
      path: '/v1/completions',
      headers: { 'content-type': type },
      body: JSON.stringify(COMPLETION),
      surely: true,
    }
  },
  (random) => {
    const depth = 1000 + random.below(50_000)
    return {
      what: `${depth} brackets`,
      path: '/v1/completions',
      headers: JSON_HEADERS,
      body: '['.repeat(depth) + ']'.repeat(depth),
      surely: true,
    }
  },
  (random) => {
    const path = random.pick(['/tokenize', '/detokenize'])
    const body = random.pick<unknown>([{}, { tokens: 'a' }, { prompt: 5 }, { tokens: [-1] }, [], 'x'])
    return { what: `${path} ${JSON.stringify(body)}`, path, headers: JSON_HEADERS, body: JSON.stringify(body), surely: true }
  },
]

export function malformedRequests(count: number, random: Random): Malformed[] {
  return Array.from({ length: count }, () => random.pick(kinds)(random))
}
