/** Every shape of expensive request that is allowed, and some that are refused only once they are read, as one client on a few connections sends it. */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { seeded } from '../test/support/pace.ts'

const VOCABULARY = 49_152
const CONTEXT = 2048

/** An attack in the doing. */
export interface Field {
  host: string
  port: number
  over(): boolean
  /** One request on one of the client's connections; resolves with its status, or 'cut' when the attack is over before the answer. */
  post(path: string, body: Buffer): Promise<void>
  /** A connection of its own, which ends with the attack. */
  socket(): Socket
}

export interface Attack {
  name: string
  /** Makes what it needs; returns what it does, until `over`. */
  prepare(): (field: Field) => Promise<void>
}

const json = (body: object) => Buffer.from(JSON.stringify({ model: 'base', ...body }))
const COMPLETIONS = '/v1/completions'
const CHAT = '/v1/chat/completions'
const CONNECTIONS = 4
const random = seeded(7)
const ids = (length: number) => Array.from({ length }, () => 10 + random.below(1400))

/** The same kind of request again and again, on each of `connections`. */
function again(name: string, path: string, prepare: () => () => Buffer, connections = CONNECTIONS): Attack {
  return {
    name,
    prepare() {
      const next = prepare()
      return async (field) => {
        const client = async () => {
          while (!field.over()) await field.post(path, next())
        }
        await Promise.all(Array.from({ length: connections }, client))
      }
    },
  }
}

/** The same body again and again. */
const same = (body: () => Buffer) => () => {
  const made = body()
  return () => made
}

const words = (length: number) => {
  let text = ''
  while (text.length < length) text += ` ${random.pick(['fox', 'ball', 'house', 'green', 'zq'])}${random.below(1e6)}`
  return text.slice(0, length)
}

/** A request's bytes, to be written by hand. */
const raw = (path: string, body: Buffer, length = body.length) =>
  Buffer.concat([
    Buffer.from(
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`,
    ),
    body,
  ])

/** 32 answers of 128 tokens, with something dear about each. */
const many = (more: object) => json({ prompt: ids(16), n: 32, max_tokens: 128, ignore_eos: true, ...more })

const everyToken = <T>(value: (id: number) => T) =>
  Object.fromEntries(Array.from({ length: VOCABULARY }, (_, id) => [id, value(id)]))

export const ATTACKS: Attack[] = [
  // Not dear by itself: what so many rows in each step cost, to compare with.
  again(
    '112 more answers, nothing else',
    COMPLETIONS,
    same(() => json({ prompt: ids(16), n: 112, max_tokens: 256, ignore_eos: true })),
    1,
  ),
  again('longest prompts', COMPLETIONS, () => () => json({ prompt: ids(CONTEXT - 1), max_tokens: 1 })),
  again('longest prompts, cached but for 64 tokens', COMPLETIONS, () => {
    const stem = ids(CONTEXT - 65)
    return () => json({ prompt: [...stem, ...ids(64)], max_tokens: 1 })
  }),
  again(
    'most sequences (n 128 × 4)',
    COMPLETIONS,
    same(() => json({ prompt: [1, 2, 3, 4].map(() => ids(16)), n: 128, max_tokens: 256, ignore_eos: true })),
    1,
  ),
  again(
    'all biases (n 32)',
    COMPLETIONS,
    same(() => many({ logit_bias: everyToken((id) => (id % 7) - 3) })),
    1,
  ),
  again(
    'all tokens allowed, all stops (n 32)',
    COMPLETIONS,
    same(() =>
      many({
        allowed_token_ids: Array.from({ length: VOCABULARY }, (_, id) => id),
        stop_token_ids: Array.from({ length: VOCABULARY - 100 }, (_, id) => id + 100),
        min_tokens: 127,
      }),
    ),
    1,
  ),
  again(
    'all stop strings (n 32)',
    COMPLETIONS,
    same(() =>
      many({
        stop: Array.from({ length: 64 }, (_, i) => `${' a'.repeat(500)}${String(i).padStart(24, 'b')}`),
      }),
    ),
    1,
  ),
  again(
    'logprobs 20 (n 32)',
    COMPLETIONS,
    same(() => json({ prompt: ids(16), n: 32, max_tokens: 128, ignore_eos: true, logprobs: 20 })),
    1,
  ),
  again(
    'prompt_logprobs 20 (128 prompts)',
    COMPLETIONS,
    () => () => json({ prompt: Array.from({ length: 128 }, () => ids(CONTEXT - 1)), max_tokens: 1, prompt_logprobs: 20 }),
    1,
  ),
  again(
    'templates with loops',
    CHAT,
    same(() =>
      json({
        messages: Array.from({ length: 64 }, () => ({ role: 'user', content: words(64) })),
        chat_template: `{# ${'x'.repeat(1 << 20)} #}{% for a in messages %}{% for b in messages %}{% for c in messages %}{% for d in messages %}{{ a.content[:0] }}{% endfor %}{% endfor %}{% endfor %}{% endfor %}`,
        max_tokens: 1,
      }),
    ),
  ),
  again(
    'longest conversations',
    CHAT,
    same(() =>
      json({
        messages: Array.from({ length: 2048 }, (_, i) => ({ role: i % 2 ? 'assistant' : 'user', content: words(5) })),
        chat_template: '{% for message in messages %}{{ message.content }}{% endfor %}',
        max_tokens: 1,
        truncate_prompt_tokens: 16,
      }),
    ),
  ),
  again(
    'texts to tokenize (512 × 20,000)',
    COMPLETIONS,
    same(() => json({ prompt: Array.from({ length: 512 }, () => words(20_000)), max_tokens: 1, truncate_prompt_tokens: 1 })),
  ),
  // Refused, but only once they are read.
  again(
    'conversations too long (8 MB)',
    CHAT,
    same(() => json({ messages: Array.from({ length: 2048 }, () => ({ role: 'user', content: words(4000) })), max_tokens: 1 })),
  ),
  again(
    'texts too long (15 MB)',
    '/tokenize',
    same(() => json({ prompt: words(15e6) })),
  ),
  again('wrong model names', COMPLETIONS, () => () => json({ model: words(200), prompt: 'a' })),
  {
    name: 'bodies half sent',
    prepare() {
      const bytes = 15 << 20
      const part = raw(COMPLETIONS, Buffer.alloc(bytes, ' '), bytes + 1)
      return async (field) => {
        for (let i = 0; i < 2 * CONNECTIONS; i++) field.socket().write(part)
        while (!field.over()) await sleep(20)
      }
    },
  },
  {
    name: 'answers unread',
    prepare() {
      const one = raw(
        COMPLETIONS,
        json({ prompt: ids(16), n: 8, max_tokens: 1024, ignore_eos: true, logprobs: 20, stream: true }),
      )
      return async (field) => {
        for (let i = 0; i < CONNECTIONS; i++) field.socket().pause().write(one)
        while (!field.over()) await sleep(20)
      }
    },
  },
  // The last: what it leaves behind would be the next one's.
  {
    name: 'pipelined, then reset',
    prepare() {
      const one = raw(COMPLETIONS, json({ prompt: ids(16), n: 4, max_tokens: 256, ignore_eos: true }))
      const all = Buffer.concat(Array.from({ length: 256 }, () => one))
      return async (field) => {
        while (!field.over()) {
          const socket = field.socket()
          socket.write(all)
          await sleep(300)
          socket.resetAndDestroy()
        }
      }
    },
  },
]

/** A connection that nobody hears the end of. */
export function open(host: string, port: number): Socket {
  return connect(port, host).on('error', () => {})
}
