/** POST /v1/responses over HTTP, by the official client and by hand. */
import { setTimeout } from 'node:timers/promises'
import OpenAI from 'openai'
import t, { type Test } from 'tap'
import { fakeServing } from '../../support/fake-serving.ts'
import { request } from '../../support/http.ts'
import { chunksOf, goldenRows, openaiClient } from '../../support/openai.ts'
import { demoModel } from '../../support/repo.ts'
import { startServed } from '../../support/served.ts'

const demo = { model: demoModel('base'), adapters: demoModel('adapters'), 'served-model-name': 'demo', pool: '32MiB' }
const start = (t: Test, settings: Record<string, unknown> = {}) => startServed(t, { ...demo, ...settings })
/** vLLM's field, which the client's types do not have. */
const endless: object = { ignore_eos: true }
const user = (content: string) => ({ role: 'user' as const, content })
const refused = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: { status: number; code: string; param: string; message: string }) => error,
  )

t.test('answers are those of chat, with the adapter of model or of the header', async (t) => {
  const served = await start(t)
  const client = openaiClient(served)
  for (const model of ['base', 'pirate']) {
    const [row] = goldenRows(model)
    const response = await client.responses.create({
      model: row.model,
      input: row.messages,
      temperature: 0,
      max_output_tokens: 99,
    })
    t.equal(response.output_text, row.text)
    t.equal(response.status, row.finish === 'stop' ? 'completed' : 'incomplete')
    t.equal(response.model, row.model)
    t.match(response.usage, { input_tokens: row.input_ids.length })
  }
  const byHeader = await served.post(
    '/v1/responses',
    { input: 'Hello', max_output_tokens: 3 },
    { 'x-lora-adapter': 'pirate;w=0.5' },
  )
  t.equal(byHeader.body.model, 'pirate;w=0.5')
  t.match(byHeader.headers.get('x-lora-digest'), /^[0-9a-f]{64}$/)
  t.match(byHeader.body.id, /^resp_/)
  t.same(byHeader.body.metadata, {})
})

t.test('a stream tells the same, and its helper builds it', async (t) => {
  const served = await start(t)
  const client = openaiClient(served)
  const body = { model: 'demo', input: 'Tell me a story.', temperature: 0, max_output_tokens: 30 }
  const whole = await client.responses.create(body)
  const events = await chunksOf(await client.responses.create({ ...body, stream: true }))
  const text = events.flatMap((event) => (event.type === 'response.output_text.delta' ? [event.delta] : [])).join('')
  t.equal(text, whole.output_text)
  t.equal((await client.responses.stream(body).finalResponse()).output_text, text)
  const raw = await request(`${served.url}/v1/responses`, { body: JSON.stringify({ ...body, stream: true }) })
  t.match(raw.headers.get('content-type'), /^text\/event-stream/)
  const lines = raw.text.trimEnd().split('\n\n')
  for (const line of lines) {
    const [, name, data] = /^event: (\S+)\ndata: (.*)$/.exec(line) ?? []
    t.equal(JSON.parse(data).type, name)
  }
  t.notMatch(raw.text, /\[DONE\]/)
})

t.test('logprobs where they are asked for', async (t) => {
  const client = openaiClient(await start(t))
  const response = await client.responses.create({
    model: 'demo',
    input: 'Hello',
    max_output_tokens: 40,
    temperature: 0,
    top_logprobs: 2,
    include: ['message.output_text.logprobs'],
  })
  const [item] = response.output
  const part = item.type === 'message' ? item.content[0] : undefined
  const list = part?.type === 'output_text' ? (part.logprobs ?? []) : []
  t.equal(
    list
      .map(({ token }) => token)
      .join('')
      .trim(),
    response.output_text.trim(),
  )
  t.ok(list.every(({ top_logprobs }) => top_logprobs.length === 2))
})

t.test('conversations go on from what is stored', async (t) => {
  const served = await start(t)
  const client = openaiClient(served)
  const first = await client.responses.create({
    model: 'demo',
    input: 'Hello',
    instructions: 'Be brief.',
    max_output_tokens: 5,
    temperature: 0,
  })
  const next = await client.responses.create({
    model: 'demo',
    input: 'More',
    previous_response_id: first.id,
    max_output_tokens: 5,
    temperature: 0,
  })
  const whole = [user('Hello'), { role: 'assistant' as const, content: first.output_text }, user('More')]
  const same = await client.responses.create({ model: 'demo', input: whole, max_output_tokens: 5, temperature: 0 })
  t.equal(next.output_text, same.output_text)
  t.equal(next.usage?.input_tokens, same.usage?.input_tokens, 'instructions are of one response')
  t.equal((await client.responses.retrieve(first.id)).output_text, first.output_text)
  const listed = await client.responses.inputItems.list(next.id, { order: 'asc' })
  t.same(
    listed.data.map((item) => item.type),
    ['message', 'message', 'message'],
  )
  const newest = await client.responses.inputItems.list(next.id, { limit: 1 })
  t.match(newest, { has_more: true, data: [{ id: listed.data[2].id }] })
  const referred = await client.responses.create({
    model: 'demo',
    input: [{ type: 'item_reference', id: first.output[0].id as string }, user('More')],
    max_output_tokens: 2,
  })
  t.ok(referred.output_text)

  await client.responses.delete(first.id)
  t.match(await refused(client.responses.retrieve(first.id)), { status: 404, code: 'response_not_found' })
  t.match(await refused(client.responses.delete(first.id)), { status: 404 })
  t.match(await refused(client.responses.create({ input: 'x', previous_response_id: first.id })), {
    status: 400,
    code: 'previous_response_not_found',
    param: 'previous_response_id',
  })
  const unstored = await client.responses.create({ model: 'demo', input: 'x', store: false, max_output_tokens: 2 })
  t.match(await refused(client.responses.retrieve(unstored.id)), { status: 404 })
})

t.test('the store is bounded, and each tenant has its own', async (t) => {
  const served = await start(t, { 'api-key': ['a=k1', 'b=k2'], 'response-store-size': '20KiB' })
  const [a, b] = ['k1', 'k2'].map((apiKey) => new OpenAI({ baseURL: `${served.url}/v1`, apiKey, maxRetries: 0 }))
  const of = (client: OpenAI) => client.responses.create({ input: 'Hello', max_output_tokens: 2 })
  const own = await of(a)
  for (const ask of [b.responses.retrieve(own.id), b.responses.delete(own.id), b.responses.cancel(own.id)])
    t.match(await refused(ask), { status: 404 })
  t.match(await refused(b.responses.create({ input: 'x', previous_response_id: own.id })), {
    code: 'previous_response_not_found',
  })
  t.equal((await a.responses.retrieve(own.id)).id, own.id)
  for (let i = 0; i < 8; i++) await of(a)
  t.match(await refused(a.responses.retrieve(own.id)), { status: 404 }, 'it has made room')
})

t.test('in the background', async (t) => {
  const served = await start(t)
  const client = openaiClient(served)
  const long = { model: 'demo', input: 'Once', background: true, max_output_tokens: 400, ...endless }
  const queued = await client.responses.create(long)
  t.match(queued, { status: 'queued', background: true, output: [] })
  t.match(await refused(client.responses.create({ input: 'x', previous_response_id: queued.id })), { message: /in progress/ })
  let now = queued
  while (now.status === 'queued' || now.status === 'in_progress') {
    await setTimeout(50)
    now = await client.responses.retrieve(queued.id)
  }
  t.match(now, { status: 'incomplete', usage: { output_tokens: 400 } })
  t.equal((await client.responses.cancel(now.id)).status, 'incomplete', 'what is over stays what it is')

  const other = await client.responses.create(long)
  t.equal((await client.responses.cancel(other.id)).status, 'cancelled')
  await served.serving.engine.idle()
  t.match(await client.responses.retrieve(other.id), { status: 'cancelled' })
  const third = await client.responses.create(long)
  await client.responses.delete(third.id)
  await served.serving.engine.idle()
  t.match(await refused(client.responses.retrieve(third.id)), { status: 404 }, 'it does not come back')

  const usual = await client.responses.create({ model: 'demo', input: 'x', max_output_tokens: 2 })
  t.match(await refused(client.responses.cancel(usual.id)), { status: 400, message: /only responses in the background/ })
  t.match(await refused(client.responses.cancel('resp_none')), { status: 404 })
  const events = await chunksOf(await client.responses.create({ ...long, max_output_tokens: 3, stream: true }))
  t.same(
    events.slice(0, 3).map(({ type }) => type),
    ['response.created', 'response.queued', 'response.in_progress'],
  )
  t.equal(events.at(-1)?.type, 'response.incomplete')
  t.same(await served.idleComplaints(), [])
})

t.test('a stream in the background is taken up again', async (t) => {
  const served = await start(t)
  const client = openaiClient(served)
  const asked = { model: 'demo', input: 'Once', background: true, max_output_tokens: 60, ...endless }
  const stream = await client.responses.create({ ...asked, stream: true })
  const seen = []
  for await (const event of stream) if (seen.push(event) === 6) break
  const [first] = seen
  const id = first.type === 'response.created' ? first.response.id : ''
  // Two who join while it is in progress, one from the beginning.
  const [rest, whole] = await Promise.all(
    [{ starting_after: 5 }, {}].map(async (from) => chunksOf(await client.responses.retrieve(id, { stream: true, ...from }))),
  )
  t.same(
    whole.map(({ sequence_number }) => sequence_number),
    [...whole.keys()],
    'no event is missing',
  )
  t.same(seen, whole.slice(0, 6), 'as it was told')
  t.same(rest, whole.slice(6))
  const last = whole.at(-1)
  t.equal(last?.type, 'response.incomplete', 'the one who left did not end it')
  const said = whole.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('')
  t.equal((await client.responses.retrieve(id)).output_text, said)
  t.same(await chunksOf(await client.responses.retrieve(id, { stream: true })), whole, 'and when it is over')
  t.same(await chunksOf(await client.responses.retrieve(id, { stream: true, starting_after: 999 })), [], 'nothing came after')

  const long = await client.responses.create({ ...asked, max_output_tokens: 900, stream: true })
  const events = []
  for await (const event of long) {
    events.push(event)
    if (events.length === 5 && events[0].type === 'response.created') await client.responses.cancel(events[0].response.id)
  }
  t.equal((events.at(-1)?.type as string) ?? '', 'response.cancelled')
  const plain = await client.responses.create({ ...asked, max_output_tokens: 2 })
  t.match(await refused(client.responses.retrieve(plain.id, { stream: true })), {
    status: 400,
    message: /created with background and stream/,
  })
  const get = async (query: string) => (await fetch(`${served.url}/v1/responses/${id}?${query}`)).status
  t.equal(await get('stream=true&starting_after=-1'), 400)
  t.equal(await get('starting_after=3'), 400)
  t.equal(await get('stream=yes'), 400)
  t.same(await served.idleComplaints(), [])
})

t.test('a body is empty where nothing is to be sent', async (t) => {
  const { url } = await start(t)
  for (const [path, status] of [
    ['/v1/responses/resp_none/cancel', 404],
    ['/ping', 200],
    ['/v1/responses', 400],
    ['/no/such/route', 404],
  ] as const)
    t.equal((await fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/json' } })).status, status, path)
})

t.test('a place for each in the background', async (t) => {
  const served = await start(t, { 'max-concurrent-requests': 1 })
  const client = openaiClient(served)
  const first = await refused(client.responses.create({ input: 'Once', background: true, max_output_tokens: 400, ...endless }))
  t.match(first, { status: 429 }, 'the request that asks has one already')
  const two = await start(t, { 'max-concurrent-requests': 2 })
  const other = openaiClient(two)
  const running = await other.responses.create({ input: 'Once', background: true, max_output_tokens: 900, ...endless })
  t.match(await refused(other.responses.create({ input: 'Once', background: true })), { status: 429 })
  t.ok(await other.responses.create({ input: 'Once', max_output_tokens: 1 }))
  await other.responses.cancel(running.id)
})

t.test('what does not fit the context is left out where that is allowed', async (t) => {
  const client = openaiClient(await start(t))
  const input = Array.from({ length: 121 }, (_, i) =>
    i % 2 === 0
      ? user(`There was a fox that went over the hill ${i}`)
      : { role: 'assistant' as const, content: 'And then it came back home.' },
  )
  t.match(await refused(client.responses.create({ input, max_output_tokens: 5 })), {
    code: 'context_length_exceeded',
    param: 'input',
  })
  const cut = await client.responses.create({ input, max_output_tokens: 5, truncation: 'auto' })
  const tokens = cut.usage?.input_tokens ?? 0
  t.ok(tokens > 950 && tokens <= 1019, `${tokens} tokens`)
  t.match(await refused(client.responses.create({ input: 'fox '.repeat(2000), truncation: 'auto' })), {
    code: 'context_length_exceeded',
  })
})

t.test('what is wrong is named as this API has it', async (t) => {
  const { post } = await start(t)
  const wrong: [object, string | null, RegExp][] = [
    [{}, 'input', /you must provide input/],
    [{ input: [] }, 'input', /you must provide input/],
    [{ input: 5 }, 'input', /must be/],
    [{ input: 'x', max_output_tokens: 0 }, 'max_output_tokens', />= 1/],
    [{ input: 'x', max_output_tokens: 5000 }, 'input', /5000 in the completion/],
    [{ input: 'x', max_tokens: 5 }, 'max_tokens', /Unrecognized/],
    [{ input: 'x', temperature: 3 }, 'temperature', /<= 2/],
    [{ input: 'x', tools: [{ type: 'web_search_preview' }] }, 'tools.0.type', /web_search_preview/],
    [{ input: 'x', conversation: 'c' }, 'conversation', /not supported/],
    [{ input: 'x', include: ['everything'] }, 'include.0', /must be equal to one of/],
    [{ input: 'x', truncation: 'some' }, 'truncation', /must be equal to one of/],
    [{ input: 'x', text: { format: { type: 'xml' } } }, 'text.format.type', /must be equal to one of/],
    [{ input: 'x', metadata: { a: 1 } }, 'metadata.a', /must be string/],
    [{ input: 'x', model: 'pirat' }, 'model', /Did you mean `pirate`/],
  ]
  for (const [body, param, message] of wrong) {
    const { status, body: answer } = await post('/v1/responses', body)
    t.match(answer.error, { param, message }, JSON.stringify(body).slice(0, 60))
    t.ok(status === 400 || status === 404)
  }
})

t.test('who leaves is generated for no more; what fails is told', async (t) => {
  const served = await start(t)
  const controller = new AbortController()
  const stream = await openaiClient(served).responses.create(
    { model: 'demo', input: 'Once', stream: true, max_output_tokens: 900, ...endless },
    { signal: controller.signal },
  )
  for await (const event of stream) if (event.type === 'response.output_text.delta') break
  controller.abort()
  t.same(await served.idleComplaints(), [])

  const { url } = await fakeServing(t, (one) =>
    setImmediate(() => {
      one.send({ tokens: [700], cachedTokens: 0 })
      one.send({ finish: 'error', error: { code: 'engine_failed', message: 'it broke' } })
    }),
  )
  const failed = await request(`${url}/v1/responses`, { body: JSON.stringify({ input: 'a', stream: true }) })
  const last = JSON.parse(failed.text.trimEnd().split('data: ').at(-1) as string)
  t.match(last, { type: 'response.failed', response: { status: 'failed', error: { code: 'server_error', message: 'it broke' } } })
  t.match(last.response.output, [{ status: 'incomplete' }])
  const whole = await request(`${url}/v1/responses`, { body: JSON.stringify({ input: 'a' }) })
  t.equal(whole.status, 503)
  t.match(whole.json.error, { code: 'engine_unavailable' })
})

t.test('what is refused for its cost leaves nothing behind', async (t) => {
  const served = await start(t, { 'max-sequences-in-flight': 1, 'max-concurrent-requests': 3 })
  const client = openaiClient(served)
  const running = await client.responses.create({ input: 'Once', background: true, max_output_tokens: 900, ...endless })
  for (let i = 0; i < 6; i++)
    t.match(await refused(client.responses.create({ input: 'Once', background: true })), {
      status: 429,
      message: /max-sequences-in-flight/,
    })
  t.match(await refused(client.responses.create({ input: 'Once', stream: true })), { status: 429 })
  await client.responses.cancel(running.id)
  await served.serving.engine.idle()
  t.ok(await client.responses.create({ input: 'Once', max_output_tokens: 1 }), 'the places are free again')
  t.same(await served.idleComplaints(), [])
})

t.test('who may be too late is told so by the status', async (t) => {
  const { url } = await fakeServing(t, (one) =>
    setImmediate(() =>
      one.send({ finish: 'error', error: { code: 'too_late', message: 'no first token in time', retryAfter: 2 } }),
    ),
  )
  const messages = [{ role: 'user', content: 'a' }]
  for (const [path, body] of [
    ['/v1/responses', { input: 'a', stream: true }],
    ['/v1/messages', { messages, max_tokens: 5, stream: true }],
    ['/generate_stream', { inputs: 'a' }],
  ] as const) {
    const { status, headers } = await request(url + path, { headers: { 'x-ttft-target': '1' }, body: JSON.stringify(body) })
    t.equal(status, 429, path)
    t.equal(headers.get('retry-after'), '2')
  }
})
