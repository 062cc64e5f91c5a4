/** What of a stream goes over the connection: what a step brings in one piece, and in it the JSON of each event. */
import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ModelTokenizer } from '../../../server/tokenizer/tokenizer.ts'
import { type FakeServing, fakeServing } from '../../support/fake-serving.ts'
import { demoModel } from '../../support/repo.ts'

/** Characters of one to four bytes, and what JSON escapes. */
const TEXT = 'So a "fox" \\ met\nö € 🦊.'
const TOKENS = ModelTokenizer.load(demoModel('base')).encode(TEXT, { addSpecialTokens: false })
const ALL_USAGE = { include_usage: true, continuous_usage_stats: true }

const head = (path: string, body: string, protocol = 'HTTP/1.1') =>
  `POST ${path} ${protocol}\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`

const until = async (done: () => boolean) => {
  for (let i = 0; i < 500 && !done(); i++) await sleep(10)
}

/** A connection that keeps all bytes that come. */
function listening(fake: FakeServing) {
  const socket = net.connect(Number(new URL(fake.url).port), '127.0.0.1')
  const parts: Buffer[] = []
  socket.on('data', (data) => parts.push(data))
  return { socket, bytes: () => Buffer.concat(parts) }
}

/** A response's chunks, and what comes after it. */
function dechunked(bytes: Buffer): { chunks: string[]; rest: Buffer } {
  let at = bytes.indexOf('\r\n\r\n') + 4
  const chunks: string[] = []
  for (;;) {
    const line = bytes.indexOf('\r\n', at)
    const length = Number.parseInt(bytes.toString('latin1', at, line), 16)
    const end = line + 2 + length
    if (bytes.toString('latin1', end, end + 2) !== '\r\n') throw new Error(`a chunk of ${length} bytes ends elsewhere`)
    if (length === 0) return { chunks, rest: bytes.subarray(end + 2) }
    chunks.push(bytes.toString('utf8', line + 2, end))
    at = end + 2
  }
}

const eventsOf = (text: string) => text.split('\n\n').slice(0, -1)

/** Writes to all of the server's connections. */
function countWrites(fake: FakeServing): () => number {
  let writes = 0
  fake.app.server.on('connection', (socket: net.Socket) => {
    const { write } = socket
    socket.write = (...all: unknown[]) => {
      writes++
      return Reflect.apply(write, socket, all)
    }
  })
  return () => writes
}

/** Sends every choice one token a turn, then ends them. */
async function speak(fake: FakeServing, from: number, afterStep: (step: number) => void = () => {}): Promise<void> {
  const all = fake.submitted.slice(from)
  for (const [step, token] of TOKENS.entries()) {
    for (const one of all) one.send({ tokens: [token], ...(step === 0 && { cachedTokens: 0 }) })
    await sleep(0)
    afterStep(step)
  }
  for (const one of all) one.send({ tokens: [], finish: 'length' })
}

t.test('what a step brings for all choices of a request is one chunk and one write', async (t) => {
  const fake = await fakeServing(t, () => {})
  const writes = countWrites(fake)
  const { socket, bytes } = listening(fake)
  socket.write(head('/v1/chat/completions', JSON.stringify({ messages: [{ role: 'user', content: 'a' }], n: 3, stream: true })))
  await until(() => fake.submitted.length === 3 && bytes().length > 0)
  let before = writes()
  const perStep: number[] = []
  await speak(fake, 0, () => {
    perStep.push(writes() - before)
    before = writes()
  })
  await until(() => bytes().includes('[DONE]'))
  const wholeOnes = new Set([...TOKENS.keys()].filter((step) => perStep[step] > 0))
  t.ok(wholeOnes.size > 15 && wholeOnes.size < TOKENS.length, 'a step that ends in the middle of a character brings nothing yet')
  t.ok(
    perStep.every((count) => count <= 1),
    `${perStep}`,
  )
  await until(() => bytes().toString('latin1').endsWith('\r\n0\r\n\r\n'))
  const { chunks } = dechunked(bytes())
  const [first, ...others] = chunks.map((chunk) => eventsOf(chunk).length)
  t.equal(first, 6, 'roles and first texts')
  const steps = wholeOnes.size - 1
  t.same(new Set(others.slice(0, steps)), new Set([3]), 'three each')
  t.equal(chunks.slice(1 + steps).flatMap(eventsOf).length, 4, 'their ends, and that all is done')
  t.equal(chunks.flatMap(eventsOf).at(-1), 'data: [DONE]')
  for (const index of [0, 1, 2]) {
    const deltas = chunks
      .flatMap(eventsOf)
      .slice(0, -1)
      .map((event) => JSON.parse(event.slice('data: '.length)).choices[0])
    const own = deltas.filter((choice) => choice.index === index)
    t.equal(own.map(({ delta }) => delta.content ?? '').join(''), TEXT)
  }
  socket.destroy()
})

t.test('events are what JSON.stringify makes of them, field by field in the same order', async (t) => {
  const usage = (prompt: number, completion: number) => ({
    usage: {
      prompt_tokens: prompt,
      completion_tokens: completion,
      total_tokens: prompt + completion,
      prompt_tokens_details: null,
      completion_tokens_details: { reasoning_tokens: 0 },
    },
  })
  const routes = [
    {
      path: '/v1/chat/completions',
      prompt: { messages: [{ role: 'user', content: 'a "b"' }] },
      object: 'chat.completion.chunk',
      first: { index: 0, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null },
      of: (text: string) => ({ index: 0, delta: { content: text }, logprobs: null, finish_reason: null }),
      last: { index: 0, delta: {}, logprobs: null, finish_reason: 'length', stop_reason: null },
      // biome-ignore lint/suspicious/noExplicitAny: an event as it came
      textIn: (choice: any) => choice.delta.content,
    },
    {
      path: '/v1/completions',
      prompt: { prompt: 'a "b"' },
      object: 'text_completion',
      of: (text: string) => ({ index: 0, text, logprobs: null, finish_reason: null, stop_reason: null }),
      last: { index: 0, text: '', logprobs: null, finish_reason: 'length', stop_reason: null },
      // biome-ignore lint/suspicious/noExplicitAny: an event as it came
      textIn: (choice: any) => choice.text,
    },
  ]
  for (const { path, prompt, object, first, of, last: end, textIn } of routes)
    for (const withUsage of [false, true]) {
      const fake = await fakeServing(t, (one) =>
        setImmediate(() => {
          one.send({ tokens: TOKENS, cachedTokens: 0 })
          one.send({ finish: 'length' })
        }),
      )
      const body = { ...prompt, model: 'demo', stream: true, ...(withUsage && { stream_options: ALL_USAGE }) }
      const response = await fetch(fake.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      const events = eventsOf(await response.text())
      const { id, created, system_fingerprint } = JSON.parse(events[0].slice('data: '.length))
      t.match({ id, created, system_fingerprint }, { id: /^(chat)?cmpl-/, created: Number, system_fingerprint: /^lorikeet-/ })
      const promptTokens = fake.submitted[0].request.promptIds.length
      const envelope = { id, object, created, model: 'demo', system_fingerprint }
      // Tokens of one step are told one by one, but for those that are no text yet: which text is whose is not this test's matter.
      const middle = events.slice(first ? 1 : 0, withUsage ? -3 : -2).map((event) => JSON.parse(event.slice('data: '.length)))
      const texts = middle.map(({ choices }) => textIn(choices[0]))
      t.equal(texts.join(''), TEXT)
      const counts: number[] = middle.map((event) => event.usage?.completion_tokens)
      if (withUsage)
        t.same(
          counts,
          [...new Set(counts)].sort((a, b) => a - b),
        )
      const beginning = first ? [{ choice: first, tokens: counts[0] }] : []
      const wanted = [
        ...beginning,
        ...texts.map((text, i) => ({ choice: of(text), tokens: counts[i] })),
        { choice: end, tokens: TOKENS.length },
      ].map(({ choice, tokens }) => ({ ...envelope, choices: [choice], ...(withUsage && usage(promptTokens, tokens)) }))
      const last = withUsage ? [{ ...envelope, choices: [], ...usage(promptTokens, TOKENS.length) }] : []
      t.same(events, [...[...wanted, ...last].map((event) => `data: ${JSON.stringify(event)}`), 'data: [DONE]'], path)
    }
})

t.test('HTTP/1.0 knows no chunks: events as they are, and the end of the connection', async (t) => {
  const fake = await fakeServing(t, () => {})
  const { socket, bytes } = listening(fake)
  socket.write(head('/v1/completions', '{"prompt":"a","stream":true}', 'HTTP/1.0'))
  await until(() => fake.submitted.length === 1)
  await speak(fake, 0)
  await once(socket, 'close')
  const [, body] = bytes().toString().split('\r\n\r\n')
  const texts = eventsOf(body)
    .slice(0, -1)
    .map((event) => JSON.parse(event.slice('data: '.length)).choices[0].text)
  t.equal(texts.join(''), TEXT)
  t.ok(body.endsWith('\n\ndata: [DONE]\n\n'))
})

t.test('a stream behind another one of its connection begins when that has ended', async (t) => {
  const fake = await fakeServing(t, () => {})
  const { socket, bytes } = listening(fake)
  const one = head('/v1/completions', '{"prompt":"a","stream":true}')
  socket.write(one + one)
  await until(() => fake.submitted.length === 1)
  await speak(fake, 0)
  await until(() => fake.submitted.length === 2)
  await speak(fake, 1)
  await until(() => bytes().toString().split('[DONE]').length === 3 && bytes().toString().endsWith('0\r\n\r\n'))
  const first = dechunked(bytes())
  const second = dechunked(first.rest)
  t.equal(second.rest.length, 0)
  for (const { chunks } of [first, second]) {
    const events = chunks.flatMap(eventsOf)
    t.equal(events.at(-1), 'data: [DONE]')
    const texts = events.slice(0, -1).map((event) => JSON.parse(event.slice('data: '.length)).choices[0].text)
    t.equal(texts.join(''), TEXT)
  }
  socket.destroy()
})
