/** Spans of requests, as a collector gets them. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { endpointWarning, tracesEndpoint } from '../../server/tracing/endpoint.ts'
import { request } from '../support/http.ts'
import { otlpReceiver, type ReceivedSpan } from '../support/otlp-receiver.ts'
import { repoRoot, temporaryFolder } from '../support/repo.ts'
import { startServed } from '../support/served.ts'

// What is sent soon is told soon.
process.env.OTEL_BSP_SCHEDULE_DELAY = '50'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'

async function traced(t: Test, settings: Parameters<typeof startServed>[1] = {}) {
  const receiver = await otlpReceiver(t)
  const served = await startServed(t, { 'otlp-traces-endpoint': receiver.url, ...settings })
  const ask = async (id: string, path: string, body: object, headers: Record<string, string> = {}) => {
    const from = Date.now()
    const answer = await request(`${served.url}${path}`, {
      body: JSON.stringify(body),
      headers: { 'x-request-id': id, ...headers },
    })
    const to = Date.now()
    const spans = await receiver.traceOf(id)
    const named = (name: string | RegExp): ReceivedSpan => {
      const found = spans.filter((span) => (typeof name === 'string' ? span.name === name : name.test(span.name)))
      if (found.length !== 1) throw new Error(`${found.length} spans are called ${name}: ${spans.map((span) => span.name)}`)
      return found[0]
    }
    return { answer, spans, named, from, to }
  }
  return { ...served, receiver, ask }
}

t.test('one request through HTTP, queue, load, prefill and decode: parents, attributes, true times', async (t) => {
  const { ask, receiver } = await traced(t, { 'api-key': ['acme=secret'] })
  const body = {
    model: 'pirate',
    messages: [{ role: 'user', content: 'A secret question' }],
    max_tokens: 30,
    temperature: 0,
    ignore_eos: true,
  }
  const headers = { authorization: 'Bearer secret', traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: 'a=b' }
  const { answer, spans, named, from, to } = await ask('one', '/v1/chat/completions', body, headers)
  t.equal(answer.status, 200)
  const digest = answer.headers.get('x-lora-digest')
  const http = named('POST /v1/chat/completions')
  const chat = named('chat pirate')
  const [queue, load, prefill, decode] = ['queue', 'adapter load', 'prefill', 'decode'].map(named)

  t.match(http, { traceId: TRACE, parentId: SPAN, traceState: 'a=b', kind: 2, status: 0 })
  t.match(http.attributes, {
    'http.request.method': 'POST',
    'http.route': '/v1/chat/completions',
    'http.response.status_code': 200,
  })
  t.match(http.resource, { 'service.name': 'lorikeet', 'service.version': String })
  t.equal(chat.parentId, http.spanId)
  for (const phase of [queue, load, prefill, decode]) t.equal(phase.parentId, chat.spanId, phase.name)
  t.match(chat.attributes, {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'lorikeet',
    'gen_ai.request.model': 'pirate',
    'gen_ai.request.max_tokens': 30,
    'gen_ai.request.temperature': 0,
    'gen_ai.usage.input_tokens': answer.json.usage.prompt_tokens,
    'gen_ai.usage.output_tokens': 30,
    'gen_ai.response.finish_reasons': ['length'],
    'lorikeet.adapters': ['pirate'],
    'lorikeet.digests': [digest],
    'lorikeet.tenant': 'acme',
    'lorikeet.device_seconds': Number,
  })
  t.match(load.attributes, { 'lorikeet.adapters': ['pirate'], 'lorikeet.digests': [digest] })
  t.match(decode.attributes, { 'lorikeet.completion_tokens': 30 })

  // Milliseconds are counted by a clock of whole ones.
  const inside = (inner: ReceivedSpan, outer: { from: number; to: number }, what: string) =>
    t.ok(inner.from >= outer.from - 1 && inner.to <= outer.to + 1 && inner.from <= inner.to, what)
  inside(http, { from, to: to + 20 }, 'within what the client saw')
  for (const phase of [queue, load, prefill, decode]) inside(phase, http, phase.name)
  t.ok(queue.to <= prefill.from + 1 && prefill.to <= decode.from + 1, 'one after the other')
  t.ok(load.to <= prefill.from + 1, 'its adapter was there before its first step')
  const { 'gen_ai.latency.time_to_first_token': first, 'gen_ai.latency.time_in_model_decode': decoding } = chat.attributes
  t.ok(Math.abs((first as number) * 1000 - (prefill.to - http.from)) <= 1.5, 'time to first token')
  t.ok(Math.abs((decoding as number) * 1000 - (decode.to - decode.from)) <= 1.5)
  t.notMatch(JSON.stringify(spans), /secret/, 'no text and no key')
  t.match(receiver.requests[0], { path: '/v1/traces', headers: { 'content-type': 'application/x-protobuf' } })

  const again = await ask('two', '/v1/chat/completions', body, { authorization: 'Bearer secret' })
  const [whole, steps] = ['POST /v1/chat/completions', 'decode'].map(again.named)
  t.ok(steps.to - steps.from > (whole.to - whole.from) / 4, 'thirty steps are much of it')
  const names = again.spans.map(({ name }) => name).sort()
  t.same(names, ['POST /v1/chat/completions', 'chat pirate', 'decode', 'prefill', 'queue'], 'the adapter lay there')
  t.not(again.spans[0].traceId, TRACE, 'without a parent it begins a trace')
  t.equal(again.named('POST /v1/chat/completions').parentId, '')
})

t.test('refusals, failures, embeddings and turns of a socket are spans as well', async (t) => {
  const { ask, serving } = await traced(t)
  const unknown = await ask('unknown', '/v1/completions', { prompt: 'a', model: 'nobody' })
  t.match(unknown.spans, [{ status: 0, attributes: { 'error.type': 'model_not_found', 'http.response.status_code': 404 } }])
  const pooled = await ask('pooled', '/v1/embeddings', { input: 'a b c' })
  t.match(pooled.named(/^embeddings /).attributes, { 'gen_ai.operation.name': 'embeddings', 'gen_ai.usage.output_tokens': 0 })
  t.ok(pooled.named('prefill'))
  serving.engine.submit = () => {
    throw new Error('it is broken')
  }
  const failed = await ask('failed', '/v1/completions', { prompt: 'a' })
  t.match(failed.named('POST /v1/completions'), { status: 2, attributes: { 'error.type': 'internal_error' } })
})

t.test('a client that samples its trace out gets no spans, and is served', async (t) => {
  const { url, receiver, ask } = await traced(t)
  const headers = { 'x-request-id': 'unsampled', traceparent: `00-${TRACE}-${SPAN}-00` }
  t.equal((await request(`${url}/v1/completions`, { body: '{"prompt":"a","max_tokens":1}', headers })).status, 200)
  await ask('sampled', '/v1/completions', { prompt: 'a', max_tokens: 1 })
  t.notOk(receiver.spans.some(({ attributes }) => attributes['lorikeet.request_id'] === 'unsampled'))
})

t.test('a collector that is gone, refuses or does not answer costs no request and holds no end', async (t) => {
  const silent = createServer((socket) => void socket.on('error', () => {}))
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.teardown(() => silent.close())
  const refusing = await otlpReceiver(t)
  refusing.status = 400
  const { port } = silent.address() as { port: number }
  for (const [name, url] of [
    ['gone', 'http://127.0.0.1:9/v1/traces'],
    ['refusing', refusing.url],
    ['silent', `http://127.0.0.1:${port}/v1/traces`],
  ]) {
    await t.test(name, async (t) => {
      const ends: (() => Promise<void>)[] = []
      const served = await startServed(
        { teardown: (handler) => ends.push(handler) },
        { 'otlp-traces-endpoint': url, 'log-level': 'silent' },
      )
      for (let i = 0; i < 5; i++) t.equal((await served.post('/v1/completions', { prompt: 'a', max_tokens: 2 })).status, 200)
      await setTimeout(200)
      const page = (await request(`${served.url}/metrics`)).text
      const spans = (outcome: string) =>
        Number(new RegExp(`lorikeet_trace_spans_total\\{[^}]*outcome="${outcome}"\\} (\\d+)`).exec(page)?.[1])
      t.equal(spans('made'), 25, 'five spans a request')
      t.equal(spans('sent'), 0)
      if (name === 'refusing') t.equal(spans('failed'), 25)
      const from = performance.now()
      for (const end of ends) await end()
      t.ok(performance.now() - from < 4000, `closed in ${Math.round(performance.now() - from)} ms`)
    })
  }
})

t.test('where spans are sent', async (t) => {
  const flag = 'http://c:4318/v1/traces'
  t.equal(tracesEndpoint(undefined, {}), undefined)
  t.equal(tracesEndpoint(flag, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://other:4318' }), flag)
  t.equal(tracesEndpoint(undefined, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318' }), flag)
  t.equal(tracesEndpoint(undefined, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318/' }), flag)
  const own = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://c/x', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318' }
  t.equal(tracesEndpoint(undefined, own), 'https://c/x', 'whole')
  t.equal(tracesEndpoint(undefined, { ...own, OTEL_TRACES_EXPORTER: 'none' }), undefined)
  t.equal(tracesEndpoint(flag, { OTEL_SDK_DISABLED: 'true' }), undefined)
  for (const wrong of ['grpc://c:4317', 'c:4318', 'http://', 'nonsense'])
    t.throws(() => tracesEndpoint(wrong, {}), /--otlp-traces-endpoint must be the URL of a collector/, wrong)
  t.throws(
    () => tracesEndpoint(undefined, { ...own, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }),
    /OTEL_EXPORTER_OTLP_PROTOCOL is grpc/,
  )
  const protocols = { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/protobuf' }
  t.equal(tracesEndpoint(flag, protocols), flag)
  t.match(endpointWarning('http://c:4317/v1/traces'), /4318/)
  t.equal(endpointWarning(flag), undefined)
})

t.test('OpenTelemetry is loaded where there is a collector, and nowhere else', async (t) => {
  const script = path.join(temporaryFolder(t), 'loaded.mjs')
  const product = (file: string) => JSON.stringify(path.join(repoRoot(), 'dist/server', file))
  // The packages are CommonJS: whatever is loaded of them stands in the cache of require. prom-client loads their API, which is small.
  writeFileSync(
    script,
    `import { createRequire } from 'node:module'
     const { serve } = await import(${product('serve.js')})
     const { configOf } = await import(${product('config/config.js')})
     const { close } = await serve(configOf({ port: 0, 'log-level': 'fatal' }))
     await close()
     console.log(Object.keys(createRequire(import.meta.url).cache).filter((file) => /@opentelemetry.(sdk|exporter|otlp)/.test(file)).length)`,
  )
  const loaded = (OTEL_EXPORTER_OTLP_ENDPOINT: string) => {
    const env = { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT }
    const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8', env })
    t.equal(status, 0, stderr)
    return Number(stdout)
  }
  t.equal(loaded(''), 0)
  t.ok(loaded('http://127.0.0.1:9') > 10)
})
