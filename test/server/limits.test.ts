/** Limits over HTTP: of adapters, tenants and keys, as they are registered, told and counted. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { sha256 } from '../../server/access/key.ts'
import { entryLine } from '../../server/access/key-file.ts'
import { configOf } from '../../server/config/config.ts'
import { RequestLimits } from '../../server/request-limits.ts'
import { fakeServing } from '../support/fake-serving.ts'
import { demoPrompts } from '../support/prompts.ts'
import { temporaryFolder } from '../support/repo.ts'
import { ask, chat, say, start } from './routes/managed.ts'

/** A stream that has begun, and runs until it is let go. */
async function hold(url: string, model: string, headers: Record<string, string> = {}): Promise<() => void> {
  const stop = new AbortController()
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model, prompt: 'Once', max_tokens: 900, n: 16, ignore_eos: true, stream: true }),
    signal: stop.signal,
  })
  t.equal(response.status, 200)
  await response.body?.getReader().read()
  return () => stop.abort()
}

const refusals = async (url: string) =>
  (await (await fetch(`${url}/metrics`)).text())
    .split('\n')
    .filter((line) => line.startsWith('lorikeet_limit_refusals_total'))
    .map((line) => line.replace('model_name="demo",engine="0",', '').replace('lorikeet_limit_refusals_total', ''))

t.test('an adapter has limits by its name, of its own or those of all, also after a restart', async (t) => {
  const state = temporaryFolder(t)
  const served = await start(t, { 'adapter-max-requests': 1, 'state-dir': state })
  const { url, more, folder } = served
  const set = (limits: object, others: object = {}) => ask(url, 'POST', '/adapters', { name: 'pirate', limits, ...others })
  t.same((await served.get('/adapters/pirate')).json.limits, {
    max_requests: 1,
    max_queued: null,
    tokens_per_minute: null,
    own: [],
  })
  const end = await hold(url, 'pirate')
  const refused = await say(served, 'pirate')
  t.equal(refused.status, 429)
  t.equal(refused.headers.get('retry-after'), '1')
  t.same(refused.body, {
    error: {
      message:
        'the adapter pirate has 1 requests in flight, which is its limit (adapter-max-requests); try again when one is done',
      type: 'rate_limit_error',
      param: null,
      code: 'too_many_requests',
      limit: { of: 'adapter', name: 'adapter-max-requests', value: 1 },
    },
  })
  t.equal((await chat(served, 'demo:pirate')).status, 429, 'by its other name')
  t.equal((await say(served, 'demo', { 'x-lora-adapter': 'spanish;w=0.5, pirate;w=0.5' })).status, 429, 'in a mix')
  t.equal((await served.post('/tokenize', { model: 'pirate', prompt: 'a' })).status, 429, 'what tokenizes is in flight too')
  t.equal((await say(served, 'spanish')).status, 200, 'and the mix took nothing of it')
  t.equal((await say(served, 'demo')).status, 200)
  // A canary is another version of the name.
  t.equal((await ask(url, 'POST', '/adapters', { name: 'pirate', src: path.join(more, 'robot'), canary: 0.5 })).status, 200)
  for (let i = 0; i < 6; i++) t.equal((await chat(served, 'pirate', {}, `user ${i}`)).status, 429)
  t.match(await set({ max_requests: 2 }), {
    status: 200,
    json: { limits: { max_requests: 2, max_queued: null, own: ['max_requests'] } },
  })
  t.equal((await say(served, 'pirate')).status, 200)
  t.match(await set({ tokens_per_minute: 50_000, max_queued: 7 }), {
    json: { limits: { max_requests: 2, max_queued: 7, tokens_per_minute: 50_000 } },
  })
  t.match(
    await ask(url, 'POST', '/adapters/pirate/promote', {}),
    { status: 200, json: { limits: { max_requests: 2 } } },
    'with the name, not the version',
  )
  t.match(
    (await ask(url, 'POST', '/adapters', { name: 'pirate', src: path.join(folder, 'pirate'), replace: true })).json.limits,
    {
      max_queued: 7,
    },
  )
  t.match((await served.get('/adapters')).json.adapters.find(({ name }: { name: string }) => name === 'pirate').limits, {
    max_requests: 2,
    max_queued: 7,
  })
  t.same(await refusals(url), ['{of="adapter",limit="adapter-max-requests"} 10'])
  end()
  const again = await start(t, { adapters: folder, 'adapter-roots': [more], 'state-dir': state, 'adapter-max-requests': 3 })
  t.same((await again.get('/adapters/pirate')).json.limits, {
    max_requests: 2,
    max_queued: 7,
    tokens_per_minute: 50_000,
    own: ['max_requests', 'max_queued', 'tokens_per_minute'],
  })
  t.match(
    (await ask(again.url, 'POST', '/adapters', { name: 'pirate', limits: { max_requests: null, max_queued: null } })).json.limits,
    { max_requests: 3, max_queued: null, own: ['tokens_per_minute'] },
  )
  t.match(
    (await ask(again.url, 'POST', '/adapters', { name: 'new', src: path.join(more, 'json'), limits: { max_requests: 9 } })).json,
    { name: 'new', limits: { max_requests: 9 } },
  )
})

t.test('wrong limits are told', async (t) => {
  const { url } = await start(t)
  const set = (limits: unknown, others: object = {}) => ask(url, 'POST', '/adapters', { name: 'pirate', limits, ...others })
  for (const wrong of [{ max_requests: 0 }, { max_requests: 1.5 }, { max_queued: '3' }, 7])
    t.match(
      await set(wrong),
      { status: 400, json: { error: { code: 'invalid_request', param: /^limits/ } } },
      JSON.stringify(wrong),
    )
  t.match(await set({ max_reqests: 3 }), {
    status: 400,
    json: { error: { code: 'unknown_parameter', param: 'limits.max_reqests', message: /limits\.max_reqests/ } },
  })
  t.match(await set({ max_requests: 1 }, { canary: 0.1 }), { status: 400, json: { error: { param: 'limits' } } })
  t.match(await ask(url, 'POST', '/adapters', { name: 'nobody', limits: { max_requests: 1 } }), { status: 404 })
  t.match(await set({ max_requests: 1 }, { expected_digest: '00' }), { status: 412 })
})

t.test('tokens a minute of an adapter and of a tenant; a gateway names the tenant', async (t) => {
  const served = await start(t, { 'tenant-header': 'x-tenant', 'tenant-tokens-per-minute': 6 })
  const as = (tenant: string, model = 'demo') => say(served, model, { 'x-tenant': tenant })
  t.equal((await as('acme')).status, 200)
  const refused = await as('acme')
  t.match(refused, { status: 429, body: { error: { limit: { of: 'tenant', name: 'tenant-tokens-per-minute', value: 6 } } } })
  const seconds = Number(refused.headers.get('retry-after'))
  t.ok(seconds > 30 && seconds < 300, `${seconds} s for what was spent of 6 a minute`)
  t.equal((await as('other')).status, 200)
  t.equal((await say(served, 'demo')).status, 200, 'who names none is another')
  await ask(served.url, 'POST', '/adapters', { name: 'pirate', limits: { tokens_per_minute: 6 } })
  t.equal((await as('third', 'pirate')).status, 200)
  t.match((await as('fourth', 'pirate')).body.error.limit, { of: 'adapter', name: 'adapter-tokens-per-minute', value: 6 })
})

t.test('one who waits is refused no work for: nothing is read, and the engine says who has begun', async (t) => {
  let read = 0
  const prompts = demoPrompts()
  const { url, submitted } = await fakeServing(t, () => {}, {
    prompts: {
      encode: (...args) => {
        read++
        return prompts.encode(...args)
      },
      encodeConversation: (...args) => prompts.encodeConversation(...args),
    },
    requestLimits: new RequestLimits({ ...configOf({}), tenantMaxQueued: 1 }),
  })
  const post = () =>
    fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'a', max_tokens: 4 }),
    })
  const submittedIs = async (count: number) => {
    while (submitted.length < count) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  const first = post()
  await submittedIs(1)
  t.equal(submitted[0].request.tellStart, true)
  const before = read
  const refused = await post()
  t.equal(refused.status, 429)
  t.match(((await refused.json()) as { error: object }).error, {
    limit: { of: 'tenant', name: 'tenant-max-queued', value: 1 },
  })
  t.equal(read, before, 'its prompt was not even looked at')
  submitted[0].send({ tokens: [], scheduledAt: Date.now(), cachedTokens: 0 })
  const second = post()
  await submittedIs(2)
  t.equal((await post()).status, 429)
  for (const { send } of submitted) send({ tokens: [5], finish: 'stop', stopToken: 5 })
  t.equal((await first).status, 200)
  t.equal((await second).status, 200)
  const third = post()
  await submittedIs(3)
  submitted[2].send({ tokens: [5], finish: 'stop', stopToken: 5 })
  t.equal((await third).status, 200)
})

t.test('nor is an adapter looked for', async (t) => {
  let looked = 0
  const { url, submitted } = await fakeServing(t, () => {}, {
    onDemand: {
      find: async () => {
        looked++
        return false
      },
    },
    requestLimits: new RequestLimits({ ...configOf({}), tenantMaxRequests: 1 }),
  })
  const post = (model: string) =>
    fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, prompt: 'a', max_tokens: 4 }),
    })
  t.equal((await post('org/new')).status, 404)
  t.equal(looked, 1)
  const first = post('demo')
  while (submitted.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.equal((await post('org/new')).status, 429)
  t.equal(looked, 1)
  submitted[0].send({ tokens: [5], finish: 'stop', stopToken: 5 })
  t.equal((await first).status, 200)
})

t.test('the queue of a key, with the real engine: one runs, one waits, the next is refused', async (t) => {
  const file = path.join(temporaryFolder(t), 'keys.jsonl')
  const entry = { tenant: 'acme', maxQueued: 1, admin: true }
  writeFileSync(file, `${entryLine({ ...entry, sha256: sha256('k') })}\n`)
  const served = await start(t, { 'api-key-file': file, 'max-sequences': 1 })
  const headers = { authorization: 'Bearer k' }
  const end = await hold(served.url, 'demo', headers)
  const both = [say(served, 'demo', headers), say(served, 'demo', headers)]
  t.match((await Promise.race(both)).body.error.limit, { of: 'key', name: 'max-queued-requests', value: 1 })
  end()
  t.same((await Promise.all(both)).map(({ status }) => status).sort(), [200, 429])
  t.equal((await say(served, 'demo', headers)).status, 200)
  t.same(await served.idleComplaints(), [])
})
