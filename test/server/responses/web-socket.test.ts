/** The WebSocket mode of /v1/responses: the official client, what goes on from what, several turns at once, and what bounds a connection. */
import { setTimeout } from 'node:timers/promises'
import { ResponsesWS } from 'openai/resources/responses/ws'
import t, { type Test } from 'tap'
import { configOf } from '../../../server/config/config.ts'
import { serve } from '../../../server/serve.ts'
import { openaiClient } from '../../support/openai.ts'
import { demoModel } from '../../support/repo.ts'
import { startServed } from '../../support/served.ts'
import { TestSocket } from '../../support/web-socket.ts'

const demo = { model: demoModel('base'), adapters: demoModel('adapters'), 'served-model-name': 'demo', pool: '32MiB' }
const start = (t: Test, settings: Record<string, unknown> = {}) => startServed(t, { ...demo, ...settings })
const open = (url: string, headers: Record<string, string> = {}) => TestSocket.open(`${url}/v1/responses`, headers)
const create = (fields: object) => ({ type: 'response.create', temperature: 0, max_output_tokens: 8, ...fields })
const long = { max_output_tokens: 300, ignore_eos: true }

/** The whole text of the next response. */
async function answer(socket: TestSocket): Promise<{ id: string; text: string; model: string }> {
  const { response } = await socket.next(({ type }) => type === 'response.completed' || type === 'response.incomplete')
  return { id: response.id, model: response.model, text: response.output[0].content[0].text }
}

t.test('the official client', async (t) => {
  const served = await start(t)
  const ws = new ResponsesWS(openaiClient(served))
  const events: { type: string; sequence_number?: number }[] = []
  const done = new Promise((resolve, reject) => {
    ws.on('error', reject)
    ws.on('event', (event) => events.push(event))
    ws.on('response.incomplete', resolve)
  })
  ws.send({ type: 'response.create', model: 'pirate', input: 'Tell me of the sea.', temperature: 0, max_output_tokens: 8 })
  const last = (await done) as { response: { output: { content: { text: string }[] }[]; model: string } }
  const http = await openaiClient(served).responses.create({
    model: 'pirate',
    input: 'Tell me of the sea.',
    temperature: 0,
    max_output_tokens: 8,
  })
  t.equal(last.response.output[0].content[0].text, http.output_text, 'as over HTTP')
  t.equal(last.response.model, 'pirate')
  t.same(
    events.map((event) => event.sequence_number),
    events.map((_, i) => i),
  )
  t.equal(events[0].type, 'response.created')
  ws.close()
})

t.test('a conversation goes on from the connection memory, with store false, and from the store', async (t) => {
  const served = await start(t)
  const socket = await open(served.url)
  const said = 'Once there was a clever fox. '
  socket.send(create({ input: said, store: false, instructions: 'Be brief.' }))
  const first = await answer(socket)
  t.equal((await fetch(`${served.url}/v1/responses/${first.id}`)).status, 404, 'it is stored nowhere else')
  socket.send(create({ input: 'And then?', store: false, previous_response_id: first.id }))
  const second = await answer(socket)
  const whole = [
    { role: 'user', content: said },
    { role: 'assistant', content: first.text },
    { role: 'user', content: 'And then?' },
  ]
  const same = await served.post('/v1/responses', { input: whole, temperature: 0, max_output_tokens: 8 })
  t.equal(second.text, same.body.output[0].content[0].text, 'with the whole conversation, without the instructions of the first')
  socket.send(create({ input: 'x', previous_response_id: first.id }))
  t.match(
    await socket.told('error'),
    {
      status: 400,
      error: { code: 'previous_response_not_found', param: 'previous_response_id' },
    },
    'only the newest is kept',
  )

  socket.send(create({ input: said }))
  const stored = await answer(socket)
  const other = await open(served.url)
  other.send(create({ input: 'And then?', previous_response_id: stored.id }))
  t.ok((await answer(other)).text, 'a stored one is there for other connections')
  socket.socket.destroy()
  other.socket.destroy()
})

t.test('a turn that fails drops what it went on from', async (t) => {
  const socket = await open((await start(t)).url)
  socket.send(create({ input: 'Once', store: false }))
  const { id } = await answer(socket)
  socket.send(create({ input: 'x', previous_response_id: id, max_output_tokens: 99999 }))
  t.match(await socket.told('error'), { error: { code: 'context_length_exceeded', param: 'input' } })
  socket.send(create({ input: 'x', previous_response_id: id }))
  t.match(await socket.told('error'), { error: { code: 'previous_response_not_found' } })
  socket.socket.destroy()
})

t.test('generate: false prepares without an answer', async (t) => {
  const served = await start(t, { 'enable-prompt-tokens-details': true })
  const socket = await open(served.url)
  const words = 'There was a fox that went over the hill and saw the sea and the ships on it. '.repeat(4)
  socket.send(create({ instructions: 'You tell stories.', input: words, generate: false }))
  const { response } = await socket.told('response.completed')
  t.same(response.output, [])
  t.match(response, { status: 'completed', usage: { output_tokens: 0 } })
  t.ok(response.usage.input_tokens > 50)
  socket.send(create({ input: 'Go on.', instructions: 'You tell stories.', previous_response_id: response.id }))
  const next = await socket.told('response.incomplete')
  t.ok(next.response.usage.input_tokens_details.cached_tokens >= 48, 'its tokens are in the prefix cache')
  socket.send(create({ generate: false, instructions: 'Only this.' }))
  t.match(await socket.told('response.completed'), { response: { output: [] } })
  socket.socket.destroy()
})

t.test('streams by stream_id, as many as may be', async (t) => {
  const served = await start(t, { 'max-websocket-streams': 2 })
  const socket = await open(served.url)
  socket.send(create({ input: 'Once', stream_id: 'a', ...long }))
  socket.send(create({ input: 'Once', ...long }))
  socket.send(create({ input: 'Once', stream_id: 'a' }))
  t.match(await socket.told('error'), { status: 400, stream_id: 'a', error: { param: 'stream_id', message: /in progress/ } })
  socket.send(create({ input: 'Once' }))
  const second = await socket.told('error')
  t.match(second, { status: 400, error: { message: /this connection has a response in progress/ } })
  t.notOk('stream_id' in second, 'none was named')
  socket.send(create({ input: 'Once', stream_id: 'b' }))
  t.match(await socket.told('error'), { status: 429, stream_id: 'b', error: { message: /max-websocket-streams/ } })
  const ends = [
    await socket.next(({ type }) => type === 'response.incomplete'),
    await socket.next(({ type }) => type === 'response.incomplete'),
  ]
  t.same(ends.map((end) => end.stream_id ?? 'none').sort(), ['a', 'none'])
  t.same(await served.idleComplaints(), [])
  socket.socket.destroy()
})

t.test('the adapter: lora_adapter, then the header of the handshake, then model', async (t) => {
  const { url } = await start(t)
  const socket = await open(url, { 'x-lora-adapter': 'shout' })
  const model = async (fields: object) => {
    socket.send(create({ input: 'Hello', max_output_tokens: 2, ...fields }))
    return (await answer(socket)).model
  }
  t.equal(await model({ model: 'json', lora_adapter: 'pirate' }), 'pirate')
  t.equal(await model({ model: 'json' }), 'shout')
  t.equal(await model({ lora_adapter: 'pirate;w=0.5, shout;w=0.25' }), 'pirate;w=0.5, shout;w=0.25')
  socket.send(create({ input: 'Hello', lora_adapter: 'pirat' }))
  t.match(await socket.told('error'), { status: 404, error: { code: 'model_not_found', message: /Did you mean `pirate`/ } })
  socket.socket.destroy()
})

t.test('what is wrong is told as an event, and the connection goes on', async (t) => {
  const socket = await open((await start(t)).url)
  const wrong = async (message: object | Buffer, error: object) => {
    if (Buffer.isBuffer(message)) socket.frame(1, message)
    else socket.send(message)
    t.match(await socket.told('error'), { status: 400, error })
  }
  await wrong(Buffer.from('{'), { code: 'invalid_json' })
  await wrong(Buffer.from('[]'), { code: 'invalid_request', message: /must be an object/ })
  await wrong({}, { param: 'type' })
  await wrong({ type: 'session.update' }, { param: 'type', message: /must be response\.create/ })
  await wrong(create({ input: 5 }), { param: 'input' })
  await wrong(create({ input: 'x', temperature: 'hot' }), { param: 'temperature' })
  await wrong(create({ input: 'x', inputs: 'y' }), { code: 'unknown_parameter', message: /Did you mean input/ })
  await wrong(create({ input: 'x', background: true }), { param: 'background' })
  await wrong(create({}), { param: 'input' })
  await wrong(create({ input: 'x', stream_id: 5 }), { param: 'stream_id' })
  await wrong(create({ input: 'x', stream_id: 'x'.repeat(129) }), { param: 'stream_id' })
  await wrong(create({ input: 'x', generate: 'no' }), { param: 'generate' })
  await wrong(create({ input: 'x', tools: [{ type: 'web_search' }] }), { param: 'tools.0.type', message: /web_search/ })
  socket.frame(2, Buffer.from('{}'))
  t.match(await socket.told('error'), { error: { message: /JSON texts/ } })
  socket.send(create({ input: 'Once' }))
  t.ok((await answer(socket)).text)
  socket.socket.destroy()
})

t.test('who leaves is generated for no more', async (t) => {
  const served = await start(t)
  const socket = await open(served.url)
  socket.send(create({ input: 'Once', max_output_tokens: 900, ignore_eos: true }))
  await socket.told('response.output_text.delta')
  socket.socket.destroy()
  await served.serving.engine.idle()
  t.same(await served.idleComplaints(), [])
})

t.test('keys, quotas, rates and places count for turns', async (t) => {
  const keyed = await start(t, { 'api-key': ['acme=k1'] })
  await t.rejects(open(keyed.url), /401|socket hang up/)
  const socket = await open(keyed.url, { authorization: 'Bearer k1' })
  socket.send(create({ input: 'Once' }))
  t.ok((await answer(socket)).text)
  const other = await start(t, { 'rate-limit': 3 })
  const limited = await open(other.url)
  for (let i = 0; i < 2; i++) {
    limited.send(create({ input: 'Once' }))
    await answer(limited)
  }
  limited.send(create({ input: 'Once' }))
  t.match(await limited.told('error'), { status: 429, error: { message: /3 requests a minute/ } })
  const full = await start(t, { 'max-concurrent-requests': 1 })
  const busy = await open(full.url)
  busy.send(create({ input: 'Once', stream_id: 'a', ...long }))
  await busy.told('response.created')
  busy.send(create({ input: 'Once', stream_id: 'b' }))
  t.match(await busy.told('error'), { status: 429, stream_id: 'b', error: { code: 'too_many_requests' } })
  t.equal((await full.post('/v1/responses', { input: 'x' })).status, 429)
  for (const one of [socket, limited, busy]) one.socket.destroy()
})

t.test('pages of elsewhere open none, and a plain GET is told what to do', async (t) => {
  const { url } = await start(t)
  await t.rejects(open(url, { origin: 'https://evil.example' }), /403|socket hang up/)
  const { status, headers } = await fetch(`${url}/v1/responses`)
  t.equal(status, 405)
  t.equal(headers.get('allow'), 'POST')
  t.equal((await fetch(`${url}/ui/`)).status, 200)
  const live = await TestSocket.open(`${url}/ui/live`)
  live.send({ key: '' })
  t.ok(await live.told('hello'), "the page's socket is another")
  live.socket.destroy()
})

t.test('a message that is too large closes the connection', async (t) => {
  const { url } = await start(t, { 'body-limit': '1KiB' })
  const socket = await open(url)
  socket.send(create({ input: 'x'.repeat(2000) }))
  t.equal((await socket.closed).code, 1009)
})

t.test('draining: what is in progress ends, idle connections are closed at once', async (t) => {
  const server = await serve(configOf({ ...demo, port: 0, 'log-level': 'fatal', 'drain-timeout': 60 }))
  const busy = await open(server.address)
  const idle = await open(server.address)
  busy.send(create({ input: 'Once', ...long }))
  await busy.told('response.output_text.delta')
  const closed = server.close()
  t.equal((await idle.closed).code, 1001)
  busy.send(create({ input: 'Once', stream_id: 'late' }))
  t.match(await busy.told('error'), { status: 503, stream_id: 'late', error: { code: 'engine_unavailable' } })
  await busy.told('response.incomplete')
  t.equal((await busy.closed).code, 1001)
  await closed
})

t.test('what does not end while draining fails, and is told', async (t) => {
  const server = await serve(configOf({ ...demo, port: 0, 'log-level': 'silent', 'drain-timeout': 0 }))
  const busy = await open(server.address)
  busy.send(create({ input: 'Once', max_output_tokens: 900, ignore_eos: true }))
  await busy.told('response.output_text.delta')
  const from = performance.now()
  const closed = server.close()
  t.match(await busy.told('response.failed'), { response: { status: 'failed', error: { code: 'server_error' } } })
  t.equal((await busy.closed).code, 1001)
  await closed
  t.ok(performance.now() - from < 15_000)
  await setTimeout(0)
})
