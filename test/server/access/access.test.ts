/** Who may do what, over HTTP. */
import { readFileSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { Access } from '../../../server/access/access.ts'
import { sha256 } from '../../../server/access/key.ts'
import { entryLine } from '../../../server/access/key-file.ts'
import { configOf } from '../../../server/config/config.ts'
import { fakeServing } from '../../support/fake-serving.ts'
import { request } from '../../support/http.ts'
import { demoModel, repoRoot } from '../../support/repo.ts'
import { startServed } from '../../support/served.ts'

const demo = { model: demoModel('base'), adapters: demoModel('adapters'), 'served-model-name': 'demo' }
const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
const accessOf = (settings: Parameters<typeof configOf>[0]) => new Access(configOf(settings), pino({ level: 'silent' }))
const completion = JSON.stringify({ prompt: 'a', max_tokens: 1 })

/** A server over an engine that answers with one token. */
const fake = (t: Test, settings: Parameters<typeof configOf>[0]) =>
  fakeServing(t, ({ send }) => setImmediate(send, { tokens: [700], finish: 'length' }), { access: accessOf(settings) })

/** Status and headers of a request whose Host can be chosen. */
function withHost(url: string, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    httpRequest(`${url}/health`, { headers: { host } }, (response) => resolve(response.resume().statusCode ?? 0))
      .on('error', reject)
      .end()
  })
}

t.test('without keys everybody may', async (t) => {
  const { url } = await fake(t, {})
  t.equal((await request(`${url}/v1/completions`, { body: completion, headers: bearer('anything') })).status, 200)
})

t.test('a key, as bearer or as x-api-key; what is open needs none', async (t) => {
  const { url } = await fake(t, { 'api-key': ['sk-1', 'acme=sk-2'] })
  const ask = (headers: Record<string, string>) => request(`${url}/v1/completions`, { body: completion, headers })
  for (const headers of [bearer('sk-1'), { authorization: 'bearer  sk-2' }, { 'x-api-key': 'sk-2' }])
    t.equal((await ask(headers)).status, 200, JSON.stringify(headers))
  t.equal((await ask({ authorization: 'Basic abc', 'x-api-key': 'sk-1' })).status, 200, "a proxy's own authorization")
  for (const headers of [{}, bearer('sk-3'), bearer('acme=sk-2'), { 'x-api-key': '' }, bearer('constructor')]) {
    const refused = await ask(headers as Record<string, string>)
    t.equal(refused.status, 401)
    t.equal(refused.headers.get('www-authenticate'), 'Bearer')
    t.match(refused.json, {
      error: { code: 'invalid_api_key', type: 'invalid_request_error', param: null, message: /`Authorization: Bearer KEY`/ },
    })
  }
  for (const open of ['/health', '/ready', '/ping', '/load', '/version', '/docs/', '/docs/json', '/docs/static/swagger-ui.css'])
    t.equal((await request(url + open)).status, 200, open)
  for (const closed of ['/', '/v1/models', '/v1/models/demo', '/nowhere', '/v1/models/%E0%A4%A'])
    t.not((await request(url + closed)).status, 200, closed)
  t.equal((await request(`${url}/nowhere`)).status, 401, 'who has no key learns of no route')
  t.match((await request(`${url}/docs/json`)).json, {
    components: { securitySchemes: { bearer: { scheme: 'bearer' }, 'x-api-key': { in: 'header' } } },
  })
})

t.test('what a key may not use does not exist for it', async (t) => {
  const keys = path.join(t.testdir({ 'keys.jsonl': '' }), 'keys.jsonl')
  const entry = (key: string, adapters: string[]) => entryLine({ sha256: sha256(key), tenant: key, adapters, admin: false })
  writeFileSync(keys, `${entry('sea', ['pirate', 'r*'])}\n${entry('land', ['spanish'])}\n`)
  const served = await startServed(t, { ...demo, 'api-key': ['all'], 'api-key-file': keys })
  const get = (route: string, key: string) => request(`${served.url}${route}`, { headers: bearer(key) })
  const names = async (key: string) => (await get('/v1/models', key)).json.data.map(({ id }: { id: string }) => id)
  t.same(await names('sea'), ['demo', 'pirate', 'rhyme', 'robot'])
  t.same(await names('land'), ['demo', 'spanish'])
  t.equal((await names('all')).length, 10)
  t.equal((await get('/', 'sea')).json.adapters, 3)
  t.equal((await get('/v1/models/spanish', 'land')).json.root, 'spanish', 'no paths')
  t.match((await get('/v1/models/spanish', 'all')).json.root, /adapters\/spanish$/)
  const ask = (key: string, model: string, headers: Record<string, string> = {}) =>
    served.post('/v1/completions', { model, prompt: 'a', max_tokens: 1 }, { ...bearer(key), ...headers })
  t.equal((await ask('sea', 'pirate')).status, 200)
  for (const refused of [
    await ask('sea', 'spanish'),
    await ask('sea', 'demo:spanish'),
    await ask('sea', 'demo', { 'x-lora-adapter': 'spanish' }),
    await ask('sea', 'demo', { 'x-lora-adapter': 'pirate;w=0.5, spanish' }),
    await ask('sea', 'demo', { 'x-amzn-sagemaker-adapter-identifier': 'spanish' }),
  ]) {
    t.equal(refused.status, 404)
    t.equal(refused.body.error.message, 'The model `spanish` does not exist.')
  }
  t.match((await get('/v1/models/spanisch', 'all')).json.error.message, /Did you mean `spanish`/)
  t.notMatch((await get('/v1/models/spanisch', 'sea')).json.error.message, /Did you mean/)
  t.match((await served.post('/tokenize', { model: 'spanish', prompt: 'a' }, bearer('sea'))).body, {
    error: { code: 'model_not_found' },
  })
})

t.test('a key has limits of its own', async (t) => {
  const open: (() => void)[] = []
  const file = path.join(t.testdir({}), 'keys.jsonl')
  const entry = { adapters: ['*'], admin: false }
  writeFileSync(
    file,
    [
      entryLine({ ...entry, sha256: sha256('two'), tenant: 'two', maxRequests: 2 }),
      entryLine({ ...entry, sha256: sha256('poor'), tenant: 'poor', tokensPerMinute: 60 }),
    ].join('\n'),
  )
  const access = accessOf({ 'api-key-file': file })
  t.teardown(() => access.close())
  const fake = await fakeServing(
    t,
    ({ send, request: { sampling } }) => {
      const end = () => send({ tokens: Array(sampling.maxTokens).fill(700), finish: 'length' })
      if (sampling.maxTokens === 1) open.push(end)
      else setImmediate(end)
    },
    { access },
  )
  const ask = (key: string, max_tokens: number) =>
    request(`${fake.url}/v1/completions`, { body: JSON.stringify({ prompt: 'a', max_tokens }), headers: bearer(key) })
  const running = [ask('two', 1), ask('two', 1)]
  while (open.length < 2) await setTimeout(5)
  const third = await ask('two', 1)
  t.equal(third.status, 429)
  t.equal(third.headers.get('retry-after'), '1')
  t.match(third.json.error, { code: 'too_many_requests', type: 'rate_limit_error', message: /2 requests in flight/ })
  t.equal((await ask('poor', 99)).status, 200, 'others are not kept')
  const debt = await ask('poor', 2)
  t.equal(debt.status, 429)
  t.ok(Number(debt.headers.get('retry-after')) > 30, `after ${debt.headers.get('retry-after')} s`)
  for (const end of open) end()
  for (const { status } of await Promise.all(running)) t.equal(status, 200)
  const again = ask('two', 1)
  while (open.length < 3) await setTimeout(5)
  open[2]()
  t.equal((await again).status, 200)
})

t.test('the names of adapters are on the metrics page of who may see them', async (t) => {
  const served = await startServed(t, { ...demo, 'api-key': ['admin', 'acme=sk-1'] })
  await served.post('/v1/completions', { model: 'pirate', prompt: 'a', max_tokens: 1 }, bearer('admin'))
  await served.serving.engine.idle()
  const page = async (headers: Record<string, string>) => (await request(`${served.url}/metrics`, { headers })).text
  t.match(await page(bearer('admin')), /running_lora_adapters="pirate"/)
  for (const headers of [{}, bearer('sk-1'), bearer('wrong')]) {
    const text = await page(headers)
    t.notMatch(text, /pirate|acme/)
    t.match(text, /^vllm:lora_requests_info\{.*running_lora_adapters="".*\} 1/m, 'the one series that gateways want')
    t.match(text, /^vllm:num_requests_running/m)
  }
  const guarded = await startServed(t, { ...demo, 'metrics-key': 'scrape', 'api-key': ['admin', 'acme=sk-1'] })
  const status = async (headers = {}) => (await request(`${guarded.url}/metrics`, { headers })).status
  t.same(
    [await status(), await status(bearer('sk-1')), await status(bearer('scrape')), await status(bearer('admin'))],
    [401, 401, 200, 200],
  )
})

t.test('an admin port of its own has metrics and docs, the other one has not', async (t) => {
  const served = await startServed(t, { ...demo, 'admin-port': 0, 'api-key': ['sk-1'] })
  const { adminUrl = '' } = served
  const statuses = async (url: string, routes: string[]) =>
    Promise.all(routes.map(async (route) => (await request(url + route, { headers: bearer('sk-1') })).status))
  t.same(await statuses(served.url, ['/metrics', '/docs', '/docs/json', '/health', '/v1/models']), [404, 404, 404, 200, 200])
  t.same(await statuses(adminUrl, ['/metrics', '/docs/', '/docs/json', '/health', '/v1/models']), [200, 200, 200, 200, 404])
  t.match((await request(`${adminUrl}/docs/json`)).json.paths, { '/v1/chat/completions': { post: {} } })
  t.same((await request(`${adminUrl}/adapters`)).status, 401, 'management asks for a key here too')
  t.same((await request(`${adminUrl}/adapters`, { headers: bearer('sk-1') })).status, 200)
  t.equal(await withHost(adminUrl, 'evil.example'), 403)
})

t.test('on loopback without keys only this machine’s names are known', async (t) => {
  const local = await fake(t, {})
  for (const host of ['localhost', 'LOCALHOST:8080', '127.0.0.1:80', '[::1]:8080', '[::1]'])
    t.equal(await withHost(local.url, host), 200, host)
  for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', '169.254.169.254', 'a.local'])
    t.equal(await withHost(local.url, host), 403, host)
  const refused = await new Promise<string>((resolve) => {
    httpRequest(`${local.url}/v1/models`, { headers: { host: 'evil.example' } }, (response) => {
      let text = ''
      response.on('data', (piece) => {
        text += piece
      })
      response.on('end', () => resolve(text))
    }).end()
  })
  t.match(JSON.parse(refused), {
    error: { code: 'host_not_allowed', type: 'permission_error', param: 'host', message: /--allowed-hosts/ },
  })
  t.equal(await withHost((await fake(t, { 'allowed-hosts': ['a.local'] })).url, 'a.local:8080'), 200)
  t.equal(
    await withHost((await fake(t, { host: '0.0.0.0' })).url, 'evil.example'),
    200,
    'who listens to others has names that are not known here',
  )
  t.equal(await withHost((await fake(t, { 'api-key': ['k'] })).url, 'evil.example'), 200, 'a page has no key')
})

t.test('pages of other origins, where they are let', async (t) => {
  const ask = (url: string, method: string, origin: string) =>
    request(`${url}/v1/completions`, {
      method,
      ...(method === 'POST' && { body: completion }),
      headers: {
        origin,
        ...(method === 'OPTIONS' && {
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization',
        }),
      },
    })
  const closed = await fake(t, {})
  t.equal((await ask(closed.url, 'POST', 'https://a.example')).headers.get('access-control-allow-origin'), null)
  const guarded = await fake(t, { 'api-key': ['k'], 'cors-origin': ['https://a.example', 'https://b.example'] })
  const preflight = await ask(guarded.url, 'OPTIONS', 'https://b.example')
  t.equal(preflight.status, 204, 'a preflight brings no key')
  t.equal(preflight.headers.get('access-control-allow-origin'), 'https://b.example')
  t.match(preflight.headers.get('access-control-allow-headers'), /authorization/)
  const refused = await ask(guarded.url, 'POST', 'https://a.example')
  t.equal(refused.status, 401)
  t.equal(refused.headers.get('access-control-allow-origin'), 'https://a.example', 'the page can read why')
  t.equal((await ask(guarded.url, 'POST', 'https://c.example')).headers.get('access-control-allow-origin'), null)
  const any = await fake(t, { 'cors-origin': ['*'] })
  t.equal((await ask(any.url, 'POST', 'https://c.example')).headers.get('access-control-allow-origin'), '*')
})

t.test('a rate, for each key and for each address without one', async (t) => {
  const { url } = await fake(t, { 'rate-limit': 3, 'api-key': ['a', 'b'] })
  const ask = async (headers: Record<string, string>) => request(`${url}/v1/completions`, { body: completion, headers })
  for (let i = 0; i < 3; i++) t.equal((await ask(bearer('a'))).status, 200)
  const refused = await ask(bearer('a'))
  t.equal(refused.status, 429)
  t.ok(Number(refused.headers.get('retry-after')) > 1)
  t.match(refused.json, { error: { code: 'too_many_requests', message: /more than 3 requests a minute.*--rate-limit/ } })
  t.equal((await ask(bearer('b'))).status, 200)
  for (let i = 0; i < 3; i++) t.equal((await ask(bearer('guess'))).status, 401)
  t.equal((await ask(bearer('another guess'))).status, 429, 'guesses count for their address')
  for (let i = 0; i < 5; i++) t.equal((await request(`${url}/health`)).status, 200)
})

t.test('connections of one address', async (t) => {
  const { url } = await fake(t, { 'max-connections-per-address': 2 })
  const open = () => {
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1' })
    t.teardown(() => socket.destroy())
    return socket
  }
  const closed = (socket: ReturnType<typeof open>) => new Promise((resolve) => socket.on('close', resolve).on('error', () => {}))
  const first = open()
  open()
  await setTimeout(50)
  await closed(open())
  first.destroy()
  await setTimeout(50)
  t.equal((await request(`${url}/health`)).status, 200)
})

t.test('templates of requests can be forbidden', async (t) => {
  const served = await startServed(t, { ...demo, 'trust-request-chat-template': false })
  const messages = [{ role: 'user', content: 'hi' }]
  for (const route of ['/v1/chat/completions', '/tokenize']) {
    const { status, body } = await served.post(route, { messages, chat_template: 'x' })
    t.equal(status, 400)
    t.match(body.error, { code: 'unsupported_parameter', param: 'chat_template', message: /--no-trust-request-chat-template/ })
    t.not((await served.post(route, { messages, chat_template: null })).body.error?.param, 'chat_template')
  }
})

t.test('HTTPS', async (t) => {
  const tls = path.join(repoRoot(), 'test/fixtures/tls')
  const served = await startServed(t, { ...demo, 'ssl-certfile': `${tls}/cert.pem`, 'ssl-keyfile': `${tls}/key.pem` })
  t.match(served.url, /^https:/)
  const status = await new Promise((resolve, reject) => {
    httpsRequest(`${served.url}/health`, { ca: readFileSync(`${tls}/cert.pem`) }, (response) =>
      resolve(response.resume().statusCode),
    )
      .on('error', reject)
      .end()
  })
  t.equal(status, 200)
  await t.rejects(startServed(t, { ...demo, 'ssl-certfile': `${tls}/cert.pem` }), /--ssl-certfile and --ssl-keyfile go together/)
  await t.rejects(
    startServed(t, { ...demo, 'ssl-certfile': '/no', 'ssl-keyfile': '/no' }),
    /--ssl-certfile .* are no certificate/,
  )
})
