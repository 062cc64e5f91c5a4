/** The line that the log has of each request: what stands in it, and what does not unless it is asked for. */
import { setTimeout } from 'node:timers/promises'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { parentOf } from '../../server/records/trace-context.ts'
import { request } from '../support/http.ts'
import { startServed } from '../support/served.ts'
import { TestSocket } from '../support/web-socket.ts'

type Line = Record<string, unknown> & { msg: string; reqId: string }

const TRACE = '0af7651916cd43dd8448eb211c80319c'

async function logged(t: Test, settings: Parameters<typeof startServed>[1], level = 'info') {
  const all: Line[] = []
  const log = pino({ level }, { write: (line: string) => all.push(JSON.parse(line)) })
  const served = await startServed(t, { 'log-level': level, ...settings }, { log })
  /** The line of a request, which comes after its answer. */
  const lineOf = async (id: string, reply?: Promise<unknown>) => {
    await reply
    for (let i = 0; i < 200; i++) {
      const line = all.find(({ reqId, msg }) => reqId === id && msg.startsWith('request '))
      if (line) return line
      await setTimeout(10)
    }
    throw new Error(`no line of ${id} in ${JSON.stringify(all)}`)
  }
  const ask = async (id: string, path: string, body: object, headers: Record<string, string> = {}) => {
    const answer = await request(`${served.url}${path}`, {
      body: JSON.stringify(body),
      headers: { 'x-request-id': id, ...headers },
    })
    return { answer, line: await lineOf(id) }
  }
  return { ...served, all, ask, lineOf }
}

t.test('a request that ended well: who, by what, how much, when', async (t) => {
  const { ask } = await logged(t, { 'api-key': ['acme=secret-key'] })
  const key = { authorization: 'Bearer secret-key' }
  const body = { model: 'pirate', prompt: 'Once upon a time', max_tokens: 5, ignore_eos: true, n: 2 }
  const traceparent = `00-${TRACE}-b7ad6b7169203331-01`
  const { answer, line } = await ask('one', '/v1/completions', body, { ...key, traceparent })
  t.equal(answer.status, 200)
  t.match(line, {
    level: 30,
    msg: 'request done',
    reqId: 'one',
    route: 'POST /v1/completions',
    status: 200,
    tenant: 'acme',
    model: 'pirate',
    adapters: ['pirate'],
    digests: [answer.headers.get('x-lora-digest')],
    promptTokens: answer.json.usage.prompt_tokens,
    completionTokens: 10,
    cachedTokens: Number,
    finishReasons: ['length'],
    traceId: TRACE,
  })
  for (const name of ['queueMs', 'firstTokenMs', 'ms', 'deviceMs']) t.type(line[name], 'number', name)
  const { queueMs, firstTokenMs, ms, deviceMs } = line as unknown as Record<string, number>
  t.ok(queueMs >= 0 && queueMs <= firstTokenMs && firstTokenMs <= ms + 1, JSON.stringify(line))
  t.ok(deviceMs > 0 && deviceMs <= ms + 1, JSON.stringify(line))
  t.notMatch(JSON.stringify(line), /Once upon|secret-key/)
})

t.test('streams, embeddings, messages and responses have the same line; the base has no adapter in it', async (t) => {
  const { ask } = await logged(t, {})
  const messages = [{ role: 'user', content: 'Hello' }]
  const chat = await ask('chat', '/v1/chat/completions', { messages, max_tokens: 3, stream: true })
  t.match(chat.line, { msg: 'request done', route: 'POST /v1/chat/completions', adapters: [], digests: [], completionTokens: 3 })
  const pooled = await ask('pooled', '/v1/embeddings', { input: ['a b c', 'd'] })
  t.match(pooled.line, { msg: 'request done', completionTokens: 0, promptTokens: pooled.answer.json.usage.prompt_tokens })
  const message = await ask('message', '/v1/messages', { messages, max_tokens: 3, model: 'pirate' })
  t.match(message.line, { msg: 'request done', model: 'pirate', status: 200 })
  const response = await ask('response', '/v1/responses', { input: 'Hello', max_output_tokens: 3 })
  t.match(response.line, { msg: 'request done', completionTokens: 3 })
  const background = await ask('background', '/v1/responses', { input: 'Hello', max_output_tokens: 3, background: true })
  t.match(background.line, { msg: 'request done', completionTokens: 3 }, 'its line comes when it is over')
})

t.test('what is refused, what fails and what is left has a line with its reason', async (t) => {
  const { ask, url, lineOf, serving } = await logged(t, { 'api-key': ['acme=secret-key'] })
  const key = { authorization: 'Bearer secret-key' }
  const refused = await ask('nobody', '/v1/completions', { prompt: 'a' })
  t.match(refused.line, { msg: 'request refused', status: 401, error: 'invalid_api_key', route: 'POST /v1/completions' })
  const unknown = await ask('unknown', '/v1/completions', { prompt: 'a', model: 'nobody' }, key)
  t.match(unknown.line, { msg: 'request refused', status: 404, error: 'model_not_found', param: 'model' })
  const odd = await request(`${url}/v1/completions`, {
    body: '{"prompt": my secret}',
    headers: { ...key, 'x-request-id': 'odd' },
  })
  t.match(odd.json.error.message, /secret/, 'the answer quotes what is wrong')
  const line = await lineOf('odd')
  t.match(line, { msg: 'request refused', status: 400, error: 'invalid_json' })
  t.notMatch(JSON.stringify(line), /secret/, 'the log does not')
  const controller = new AbortController()
  const headers = { ...key, 'x-request-id': 'left', 'content-type': 'application/json' }
  const body = JSON.stringify({ prompt: 'a', max_tokens: 900, ignore_eos: true, stream: true })
  const response = await fetch(`${url}/v1/completions`, { method: 'POST', headers, body, signal: controller.signal })
  await response.body?.getReader().read()
  controller.abort()
  t.match(await lineOf('left'), { msg: 'request left', finishReasons: ['abort'] })
  serving.engine.submit = () => {
    throw new Error('it is broken')
  }
  const failed = await ask('failed', '/v1/completions', { prompt: 'a' }, key)
  t.match(failed.line, { msg: 'request failed', status: 500, error: 'internal_error' })
})

t.test('each turn of a WebSocket has one', async (t) => {
  const { url, all } = await logged(t, {})
  const socket = await TestSocket.open(`${url}/v1/responses`)
  socket.send({ type: 'response.create', input: 'Hello', max_output_tokens: 2, ignore_eos: true })
  await socket.told('response.incomplete')
  socket.send({ type: 'response.create', input: 'Hello', model: 'nobody' })
  await socket.told('error')
  await setTimeout(50)
  t.match(
    all.filter(({ msg }) => msg.startsWith('request ')),
    [
      { msg: 'request done', route: 'WS /v1/responses', completionTokens: 2 },
      { msg: 'request refused', route: 'WS /v1/responses', error: 'model_not_found' },
    ],
  )
  socket.socket.destroy()
})

t.test('routes that only read text have none', async (t) => {
  const { url, all } = await logged(t, {})
  t.equal((await request(`${url}/tokenize`, { body: '{"prompt":"a"}' })).status, 200)
  t.equal((await request(`${url}/health`)).status, 200)
  await setTimeout(50)
  t.same(
    all.filter(({ msg }) => msg.startsWith('request ')),
    [],
  )
})

t.test("asked for by vLLM's flags: the line at any level, texts up to a length, prompts only at debug", async (t) => {
  const body = { prompt: 'Once upon a time', max_tokens: 20, ignore_eos: true, n: 2 }
  const quiet = await logged(t, {}, 'warn')
  t.equal((await request(`${quiet.url}/v1/completions`, { body: JSON.stringify(body) })).status, 200)
  await setTimeout(50)
  t.same(quiet.all, [])
  const asked = await logged(t, { 'enable-log-requests': true }, 'warn')
  const { line } = await asked.ask('asked', '/v1/completions', body)
  t.match(line, { level: 30, msg: 'request done' })
  t.notOk('prompt' in line || 'outputs' in line)
  const all = await logged(t, { 'enable-log-requests': true, 'enable-log-outputs': true, 'max-log-len': 12 }, 'debug')
  const whole = await all.ask('whole', '/v1/completions', body)
  t.match(whole.line.prompt, 'Once')
  t.ok((whole.line.prompt as string).length <= 12)
  t.same(
    whole.line.outputs,
    whole.answer.json.choices.map(({ text }: { text: string }) => text.slice(0, 12)),
  )
  await t.rejects(startServed(t, { 'enable-log-outputs': true }), /give that too/)
})

t.test('W3C trace context: what is one, and what is none', async (t) => {
  const span = 'b7ad6b7169203331'
  const parent = (traceparent: string, tracestate?: string) => parentOf({ traceparent, tracestate })
  t.same(parent(`00-${TRACE}-${span}-01`, 'a=b'), { traceId: TRACE, spanId: span, sampled: true, state: 'a=b' })
  t.match(parent(`00-${TRACE}-${span}-02`), { sampled: false })
  t.match(parent(`cc-${TRACE}-${span}-01-what-comes-later`), { traceId: TRACE }, 'a later version')
  for (const wrong of [
    `00-${TRACE}-${span}-01-more`,
    `ff-${TRACE}-${span}-01`,
    `00-${'0'.repeat(32)}-${span}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${span}-01`,
    'nonsense',
  ])
    t.equal(parent(wrong), undefined, wrong)
})
