/** What a client sees when the engine fails, and what the engine is told when a client does. */
import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { EngineError } from '../../../runtime/index.ts'
import { ModelTokenizer } from '../../../server/tokenizer/tokenizer.ts'
import type { AdapterRecord } from '../../../server/types.ts'
import { fakeServing, type Submitted } from '../../support/fake-serving.ts'
import { request } from '../../support/http.ts'
import { demoModel } from '../../support/repo.ts'

const later = (work: () => void) => void setImmediate(work)
const until = async (done: () => boolean) => {
  for (let i = 0; i < 500 && !done(); i++) await sleep(10)
}
const events = (text: string) => text.split('\n\n').filter((event) => event !== '')
const complete = (url: string, body: object) =>
  request(`${url}/v1/completions`, { body: JSON.stringify({ prompt: 'a', max_tokens: 9, ...body }) })

const FAILURES = [
  { code: 'engine_failed', status: 503, told: 'engine_unavailable', message: 'the engine thread ended' },
  { code: 'adapter_mismatch', status: 500, told: 'internal_error', message: 'adapter_mismatch: other weights' },
] as const

t.test('a sequence that fails: an error when whole, an event in a stream, and the other choices are ended', async (t) => {
  for (const { code, status, told, message } of FAILURES) {
    const fake = await fakeServing(t, (one, index) =>
      later(() => {
        one.send({ tokens: [533], cachedTokens: 0 })
        if (index % 2 === 1) one.send({ finish: 'error', error: { code, message: message.replace(`${code}: `, '') } })
      }),
    )
    const whole = await complete(fake.url, { n: 2 })
    t.match(whole, { status, json: { error: { code: told, message } } })
    t.ok(fake.aborted.includes(fake.submitted[0].request.id), 'the choice that went well is ended too')
    const streamed = await complete(fake.url, { n: 2, stream: true })
    t.equal(streamed.status, 200, 'the head was sent before')
    const all = events(streamed.text)
    t.ok(all.every((event) => event.startsWith('data: ')))
    t.match(JSON.parse(all.at(-2)?.slice('data: '.length) ?? ''), { error: { code: told, message } })
    t.equal(all.at(-1), 'data: [DONE]')
    t.equal(all.length, 4, 'two pieces, the error, the end')
  }
})

t.test('an answer that has outgrown the pool is an answer, and tells why it is short', async (t) => {
  const fake = await fakeServing(t, (one) =>
    later(() => {
      one.send({ tokens: [533], cachedTokens: 0 })
      one.send({ finish: 'length', stopReason: 'pool_exhausted' })
    }),
  )
  const whole = await complete(fake.url, {})
  const ended = { finish_reason: 'length', stop_reason: 'pool_exhausted' }
  t.match(whole, { status: 200, json: { choices: [ended], usage: { completion_tokens: 1 } } })
  const streamed = await complete(fake.url, { stream: true })
  t.match(JSON.parse(events(streamed.text).at(-2)?.slice('data: '.length) ?? ''), { choices: [ended] })
})

t.test('an answer that cannot be written fails alone', async (t) => {
  const fake = await fakeServing(t, (one, index) =>
    later(() => {
      // No engine sends this: it stands for a fault of ours.
      const logprobs = (index < 2 ? { from: 0, to: 1 } : undefined) as never
      one.send({ tokens: [533], cachedTokens: 0, logprobs, finish: index < 2 ? undefined : 'length' })
    }),
  )
  const whole = await complete(fake.url, { logprobs: 1 })
  t.match(whole, { status: 500, json: { error: { code: 'internal_error', message: /internal error/ } } })
  const streamed = await complete(fake.url, { logprobs: 1, stream: true })
  t.match(events(streamed.text), [/"code":"internal_error"/, 'data: [DONE]'])
  t.same(
    fake.aborted,
    fake.submitted.map((one) => one.request.id),
    'the engine does not go on with them',
  )
  t.equal((await complete(fake.url, {})).status, 200)
})

t.test('an answer that cannot be written to its end is an error, or cut where it has begun, alone', async (t) => {
  const tokenizer = ModelTokenizer.load(demoModel('base'))
  tokenizer.token = (id) => {
    if (id === -1) throw new Error('a fault of ours')
    return { text: 'a', bytes: [97] }
  }
  const send = (one: Submitted, rows: number) => {
    const ids = new Int32Array(rows)
    ids[rows - 1] = -1
    const none = { topStarts: new Int32Array(rows + 1), topTokens: new Int32Array(0), topLogprobs: new Float32Array(0) }
    const of = { tokens: ids, logprob: new Float32Array(rows), rank: ids, ...none }
    one.send({ tokens: [533], promptLogprobs: { of, from: 0, to: rows }, finish: 'length' })
  }
  const fake = await fakeServing(t, (one, index) => later(() => send(one, index === 0 ? 100 : 10_000)), { tokenizer })
  const early = await complete(fake.url, { prompt_logprobs: 0 })
  t.match(early, { status: 500, json: { error: { code: 'internal_error' } } })
  for (const stream of [false, true])
    await t.rejects(complete(fake.url, { prompt_logprobs: 0, stream }), /terminated|aborted|failed/, `stream: ${stream}`)
  t.equal((await complete(fake.url, {})).status, 200)
})

t.test('numbers that overflow are the error of who gave the weights, and ours otherwise', async (t) => {
  const record: AdapterRecord = { name: 'pirate', directory: '/a', created: 1, digest: 'ab12', method: 'lora' }
  const error = { code: 'non_finite_logits', message: 'the model computed no finite logits' }
  const fake = await fakeServing(t, (one) => later(() => one.send({ finish: 'error', error })), {
    adapters: {
      get: (name) => (name === 'pirate' ? record : undefined),
      list: () => [record],
      lease: async () => ({
        digests: ['ab12'],
        texts: [undefined],
        heads: [undefined],
        vocabSizes: [undefined],
        maxRanks: [0],
        ranked: [false],
        release: () => {},
      }),
    },
  })
  const ask = (listed: string) =>
    request(`${fake.url}/v1/completions`, { body: '{"prompt":"a"}', headers: { 'x-lora-adapter': listed } })
  for (const listed of ['pirate;w=1000000000', 'pirate;w=-0.5'])
    t.match(await ask(listed), {
      status: 400,
      json: { error: { code: 'invalid_request', param: 'x-lora-adapter', message: /no finite numbers; give smaller ones/ } },
    })
  for (const listed of ['pirate', 'demo'])
    t.match(await ask(listed), { status: 500, json: { error: { code: 'internal_error' } } })
})

t.test('what the engine refuses at once is an error, also for a stream, and leaves nothing running', async (t) => {
  const fake = await fakeServing(t, (_one, index) => {
    if (index % 2 === 1) throw new EngineError('pool_too_small', 'the prompt needs 9 blocks, the pool has 4')
  })
  for (const stream of [false, true]) {
    const answer = await complete(fake.url, { n: 2, stream })
    t.match(answer, { status: 400, json: { error: { code: 'invalid_request', param: 'prompt', message: /needs 9 blocks/ } } })
  }
  const chat = JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], n: 2 })
  t.match(await request(`${fake.url}/v1/chat/completions`, { body: chat }), {
    status: 400,
    json: { error: { param: 'messages', message: /needs 9 blocks/ } },
  })
  t.ok(fake.aborted.includes(fake.submitted[0].request.id))
  t.ok(fake.aborted.includes(fake.submitted[2].request.id))
})

t.test('a client that goes away ends its sequences, whether it streams or not', async (t) => {
  const fake = await fakeServing(t, (one) => later(() => one.send({ tokens: [533], cachedTokens: 0 })))
  for (const stream of [false, true]) {
    const from = fake.submitted.length
    const controller = new AbortController()
    const asked = fetch(`${fake.url}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify({ prompt: 'a', n: 2, stream }),
      headers: { 'content-type': 'application/json' },
      signal: controller.signal,
    }).catch((error: Error) => error)
    await until(() => fake.submitted.length === from + 2)
    controller.abort()
    await asked
    const ids = fake.submitted.slice(from).map((one) => one.request.id)
    await until(() => ids.every((id) => fake.aborted.includes(id)))
    t.same(fake.aborted.slice(from).sort(), ids.sort(), stream ? 'streaming' : 'whole')
  }
})

t.test('a client that does not read is cut off, not waited for', async (t) => {
  const fake = await fakeServing(t, () => {})
  const socket = net.connect(Number(new URL(fake.url).port), '127.0.0.1')
  socket.on('error', () => {})
  const body = JSON.stringify({ prompt: 'a', stream: true, max_tokens: 100_000 })
  socket.write(
    `POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
  socket.pause()
  await until(() => fake.submitted.length === 1)
  const [one] = fake.submitted
  const tokens = Array.from({ length: 1000 }, () => 533)
  let sent = 0
  for (; sent < 20_000 && fake.aborted.length === 0; sent++) {
    one.send({ tokens, ...(sent === 0 && { cachedTokens: 0 }) })
    if (sent % 100 === 0) await sleep(0)
  }
  t.same(fake.aborted, [one.request.id], `after ${sent} unread pieces`)
  socket.resume()
  await once(socket, 'close')
})

t.test('ids are unique and carry what the client calls the request', async (t) => {
  const fake = await fakeServing(t, (one) =>
    later(() => one.send({ tokens: [5], finish: 'stop', stopToken: 5, cachedTokens: 0 })),
  )
  const headers = { 'x-request-id': 'mine' }
  const ask = () => request(`${fake.url}/v1/completions`, { body: '{"prompt":"a"}', headers })
  const [a, b] = [await ask(), await ask()]
  t.match(a.json.id, /^cmpl-mine-/)
  t.not(a.json.id, b.json.id)
  t.equal(a.headers.get('x-request-id'), 'mine')
  t.match((await complete(fake.url, { request_id: 'yours' })).json.id, /^cmpl-yours-/)
  t.equal(new Set(fake.submitted.map((one) => one.request.id)).size, 3)
})

t.test('a priority is refused where there are none, and reaches the engine where there are', async (t) => {
  const ends = (one: Submitted) => later(() => one.send({ tokens: [533], finish: 'length' }))
  const chat = (url: string, body: object) =>
    request(`${url}/v1/chat/completions`, { body: JSON.stringify({ messages: [{ role: 'user', content: 'a' }], ...body }) })
  const first = await fakeServing(t, ends)
  for (const ask of [complete, chat]) {
    for (const priority of [1, -5]) {
      const { status, json } = await ask(first.url, { priority })
      t.match([status, json.error], [400, { code: 'invalid_request', param: 'priority', message: /--scheduling priority/ }])
    }
    for (const priority of [0, null]) t.equal((await ask(first.url, { priority })).status, 200)
  }
  t.same(new Set(first.submitted.map(({ request }) => request.priority)), new Set([undefined]))
  const other = await fakeServing(t, ends, { scheduling: 'priority' })
  for (const ask of [complete, chat]) t.equal((await ask(other.url, { priority: -5 })).status, 200)
  t.same(
    other.submitted.map(({ request }) => request.priority),
    [-5, -5],
  )
})
