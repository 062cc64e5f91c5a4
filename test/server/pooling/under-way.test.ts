/** Pooled requests beside others: clients that go, what they cost, and what is counted of them. */
import t from 'tap'
import { pooledFolder } from '../../support/pooled.ts'
import { startServed } from '../../support/served.ts'

const base = pooledFolder('llama', 'base')
const adapters = pooledFolder('llama', 'adapters')
const inputs = (count: number, length: number) =>
  Array.from({ length: count }, (_, i) => Array.from({ length }, (_, k) => 3 + ((i * 31 + k) % 250)))

t.test('who goes takes all of its sequences along', async (t) => {
  const served = await startServed(t, { model: base, adapters, 'max-request-sequences': 64 })
  const left = new AbortController()
  const body = JSON.stringify({ model: 'feature', input: inputs(2000, 400) })
  const headers = { 'content-type': 'application/json' }
  const asked = fetch(`${served.url}/v1/embeddings`, { method: 'POST', headers, body, signal: left.signal })
  const { engine } = served.serving
  while (engine.snapshot.running === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  left.abort()
  await t.rejects(asked)
  t.same(await served.idleComplaints(), [])
  t.ok(engine.snapshot.counters.promptTokens < 2000 * 400, 'most of it was never computed')
  const after = await served.post('/v1/embeddings', { input: 'the cat' })
  t.equal(after.status, 200)
})

t.test('an answer in between is the same, and soon', async (t) => {
  const served = await startServed(t, { model: base, adapters, 'max-step-ms': 50 })
  const body = { prompt: [5, 6, 7], max_tokens: 20, temperature: 0, ignore_eos: true }
  const alone = await served.post('/v1/completions', body)
  let over = false
  const many = served.post('/v1/embeddings', { model: 'feature', input: inputs(400, 300) }).finally(() => {
    over = true
  })
  const beside = await served.post('/v1/completions', body)
  t.notOk(over, 'the embeddings are not done yet')
  t.equal(beside.body.choices[0].text, alone.body.choices[0].text)
  t.match(await many, { status: 200, body: { data: { length: 400 }, usage: { prompt_tokens: 120_000 } } })
  t.same(await served.idleComplaints(), [])
})

t.test('what it may cost, and what is counted', async (t) => {
  const served = await startServed(t, { model: base, adapters, 'max-request-tokens': 100 })
  const tooMuch = await served.post('/v1/embeddings', { input: inputs(3, 40) })
  t.match(tooMuch, { status: 400, body: { error: { param: 'input', message: /120 tokens.*--max-request-tokens/ } } })
  await served.post('/classify', { model: 'classes', input: inputs(3, 10) })
  await served.post('/rerank', { query: 'the cat', documents: ['and the dog'] })
  const metrics = await (await fetch(`${served.url}/metrics`)).text()
  t.match(metrics, /vllm:request_success_total\{[^}]*finished_reason="stop"[^}]*\} 5/)
  t.match(metrics, /vllm:generation_tokens_total\{[^}]*\} 0/)
})

t.test('tokens count for the adapter', async (t) => {
  const served = await startServed(t, { model: base, adapters, 'adapter-tokens-per-minute': 50 })
  const asked = () => served.post('/v1/embeddings', { model: 'feature', input: inputs(2, 30) })
  t.match(await asked(), { status: 200 })
  t.match(await asked(), { status: 429, body: { error: { message: /feature.*tokens a minute/ } } })
  t.match(await served.post('/v1/embeddings', { model: 'lora', input: 'a' }), { status: 200 }, 'another has its own')
})
