/** Served from the hub: the base model, adapters that the operator names, and those that requests bring. */
import { once } from 'node:events'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import type { HubSettings } from '../../adapters-store/index.ts'
import { makeKey } from '../../server/access/new-key.ts'
import type { ServeHooks } from '../../server/serve.ts'
import { filesOf, HUB_TOKEN, type LocalHub, localHub } from '../support/local-hub.ts'
import { demoModel, temporaryFolder } from '../support/repo.ts'
import { type Served, startServed } from '../support/served.ts'
import { lorikeet, serving } from './cli/running.ts'

const PIRATE = filesOf(demoModel('adapters/pirate'))
const ROBOT = filesOf(demoModel('adapters/robot'))
const BASE = filesOf(demoModel('base'))

const hubOf = (t: Test, local: LocalHub, others: Partial<HubSettings> = {}): HubSettings => ({
  endpoint: local.endpoint,
  offline: false,
  cache: path.join(temporaryFolder(t), 'hub'),
  ...others,
})

const start = (t: Test, hub: HubSettings, settings: Record<string, unknown> = {}, hooks: ServeHooks = {}) =>
  startServed(
    t,
    { model: demoModel('base'), 'served-model-name': 'demo', adapters: temporaryFolder(t), ...settings },
    { hub, ...hooks },
  )

/** One that a test closes itself. */
async function startClosable(hub: HubSettings, settings: Record<string, unknown>, warned: string[] = []) {
  let close = async () => {}
  const log = pino({ level: 'warn' }, { write: (line: string) => warned.push(line) })
  const held = {
    teardown: (handler: () => Promise<void>) => {
      close = handler
    },
  }
  const served = await startServed(held, { model: demoModel('base'), 'served-model-name': 'demo', ...settings }, { hub, log })
  return { ...served, close: () => close() }
}

const say = (served: Served, model: string, headers: Record<string, string> = {}) =>
  served.post('/v1/completions', { model, prompt: 'Once there was a', max_tokens: 12, temperature: 0 }, headers)

const get = async (served: Served, route: string) => (await fetch(served.url + route)).json() as Promise<Record<string, unknown>>

t.test('base and adapters of the hub answer as those of folders', async (t) => {
  const local = await localHub(t)
  const base = local.commit('org/base', BASE)
  const pirate = local.commit('org/pirate', PIRATE, { branch: 'v1' })
  local.commit('org/many', Object.fromEntries(Object.entries(ROBOT).map(([name, content]) => [`styles/robot/${name}`, content])))
  const hub = hubOf(t, local)
  const adapter = { pirate: 'org/pirate@v1', robot: 'hf://org/many/styles/robot' }
  const served = await startServed(t, { model: 'org/base', adapter }, { hub })
  const folders = await startServed(t, { model: demoModel('base'), adapters: demoModel('adapters') })
  for (const name of ['pirate', 'robot']) {
    const [ours, theirs] = await Promise.all([say(served, name), say(folders, name)])
    t.equal(ours.status, 200)
    t.equal(ours.body.choices[0].text, theirs.body.choices[0].text)
    t.equal(ours.headers.get('x-lora-digest'), theirs.headers.get('x-lora-digest'))
  }
  t.match((await get(served, '/v1/models')).data, [
    { id: 'org/base', root: 'org/base', parent: null },
    { id: 'pirate', root: 'org/pirate', parent: 'org/base' },
    { id: 'robot', root: 'org/many/styles/robot' },
  ])
  t.match(await get(served, '/adapters/pirate'), {
    origin: 'command_line',
    source: `hub: org/pirate@${pirate}`,
    root: path.join(hub.cache, 'models--org--pirate/snapshots', pirate),
  })
  t.equal((await get(folders, '/adapters/pirate')).source, null)
  const offline = await startServed(
    t,
    { model: `org/base@${base}`, adapter },
    { hub: { ...hub, offline: true, endpoint: 'http://nowhere' } },
  )
  t.equal((await say(offline, 'robot')).status, 200)
})

t.test(
  'what the operator names and the hub does not have: told at the start, to who wants it, and served once it is there',
  async (t) => {
    const local = await localHub(t)
    local.commit('org/pirate', PIRATE)
    local.commit('org/gated', ROBOT, { gated: true })
    const refusals: (string | undefined)[] = []
    const adapter = { pirate: 'org/pirate', gone: 'org/gone', gated: 'org/gated' }
    const served = await start(
      t,
      hubOf(t, local),
      { adapter },
      { onRefusal: ({ name, detail }) => refusals.push(`${name}: ${detail}`) },
    )
    t.match(refusals.sort(), [/^gated: .*HF_TOKEN/, /^gone: the hub has no org\/gone.*; and there is no folder org\/gone here/])
    t.equal((await say(served, 'pirate')).status, 200)
    t.match(await say(served, 'gated'), {
      status: 400,
      body: { error: { code: 'adapter_refused', param: 'model', message: /gated/ } },
    })
    const before = local.requests.length
    t.match(await say(served, 'gone'), {
      status: 404,
      body: { error: { code: 'adapter_not_found', message: /the hub has no org\/gone/ } },
    })
    t.equal(local.requests.length, before, 'the hub is not asked again at once')
  },
)

t.test('requests bring what --hub-allow allows, and nothing else is asked of the hub', async (t) => {
  const local = await localHub(t)
  const first = local.commit('org/pirate', PIRATE)
  local.commit('other/pirate', PIRATE)
  local.commit('org/bare', { 'adapter_config.json': '{}' })
  local.commit('org/gated', PIRATE, { gated: true })
  const hub = hubOf(t, local, { token: 'hf_wrongSecret' })
  const served = await start(t, hub, { 'hub-allow': ['org/*', 'team/x'] })
  for (const name of ['other/pirate', 'org', 'org/../x', 'hf://org/pirate', 'team/xy', 'org/pirate@../x'])
    t.match(await say(served, name), { status: 404, body: { error: { code: 'model_not_found', param: 'model' } } }, name)
  t.same(local.requests, [])
  const answers = await Promise.all(['org/pirate', 'org/pirate', 'demo:org/pirate'].map((name) => say(served, name)))
  for (const answer of answers) t.match(answer, { status: 200, body: { model: 'org/pirate' } })
  t.equal(local.fetched().length, 2)
  t.match(await get(served, '/adapters/org%2Fpirate'), { origin: 'request', source: `hub: org/pirate@${first}` })
  const header = await say(served, 'demo', { 'x-lora-adapter': `"org/pirate@${first}"` })
  t.match(header, { status: 200, body: { model: `org/pirate@${first}` } })
  local.commit('org/pirate', ROBOT)
  t.equal(
    (await say(served, 'org/pirate')).body.choices[0].text,
    answers[0].body.choices[0].text,
    'a branch that moves changes nothing',
  )
  const before = local.requests.length
  for (const name of ['org/none', 'org/none'])
    t.match(await say(served, name), { status: 404, body: { error: { code: 'model_not_found' } } })
  t.equal(local.requests.length, before + 1, 'what is not there is not looked for again at once')
  const bare = await say(served, 'org/bare')
  t.match(bare, { status: 400, body: { error: { code: 'adapter_refused', message: /no adapter_model.safetensors/ } } })
  const gated = await say(served, 'org/gated')
  t.match(gated, { status: 400, body: { error: { code: 'adapter_refused', message: /gated/ } } })
  t.notMatch(JSON.stringify([bare, gated]), /wrongSecret|127\.0\.0\.1|snapshots/)
  t.match(await served.post('/v1/chat/completions', { model: 'org/pirate@nope', messages: [{ role: 'user', content: 'x' }] }), {
    status: 404,
  })
})

t.test('a key brings only what it may see; names that are made up are limited', async (t) => {
  const local = await localHub(t)
  local.commit('org/pirate', PIRATE)
  local.commit('org/robot', ROBOT)
  const { key, line } = makeKey(['--tenant', 'pirates', '--adapters', 'org/pirate'])
  const keyFile = path.join(temporaryFolder(t), 'keys')
  writeFileSync(keyFile, `${line}\n`)
  const served = await start(t, hubOf(t, local), {
    'hub-allow': ['org/*'],
    'api-key': ['admin-secret-key', 'other=other-secret-key'],
    'api-key-file': keyFile,
  })
  const authorization = { authorization: `Bearer ${key}` }
  t.match(await say(served, 'org/robot', authorization), { status: 404 })
  t.same(local.requests, [])
  t.match(await say(served, 'org/pirate', authorization), { status: 200 })
  const statuses = await Promise.all(
    Array.from(
      { length: 80 },
      async (_, i) => (await say(served, `org/made-up-${i}`, { authorization: 'Bearer admin-secret-key' })).status,
    ),
  )
  t.same([...new Set(statuses)].sort(), [404, 429])
  t.ok(local.requests.filter(({ line }) => line.includes('made-up')).length <= 60)
  t.match(await say(served, 'org/pirate', authorization), { status: 200 }, 'what is known is served')
  const other = { authorization: 'Bearer other-secret-key' }
  t.match(await say(served, 'org/made-up-by-another', other), { status: 404 }, 'another tenant is looked for still')
})

t.test('a hub that fails is told as such, and asked again later', async (t) => {
  const local = await localHub(t)
  local.commit('org/pirate', PIRATE)
  local.misbehave = (_file, _content, _from, response) => {
    response.writeHead(500).end()
    return true
  }
  const served = await start(t, hubOf(t, local), { 'hub-allow': ['org/*'], 'allow-adapter-management': true })
  const failed = await say(served, 'org/pirate')
  t.match(failed, { status: 502, body: { error: { code: 'hub_failed', param: 'model', message: /the hub answers 500/ } } })
  t.match(await say(served, 'org/pirate'), { status: 502 })
  local.misbehave = undefined
  t.match(await served.post('/adapters', { name: 'x', src: 'org/pirate' }), { status: 200 })
  t.match(await say(served, 'x'), { status: 200 })
})

t.test('who leaves ends the download that nobody else waits for', async (t) => {
  const local = await localHub(t)
  local.commit('org/pirate', PIRATE)
  const open: import('node:http').ServerResponse[] = []
  local.misbehave = (file, content, _, response) => {
    if (file !== 'adapter_model.safetensors') return false
    open.push(response)
    response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 1000))
    return true
  }
  const served = await start(t, hubOf(t, local), { 'hub-allow': ['org/*'] })
  const left = new AbortController()
  const request = fetch(`${served.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'org/pirate', prompt: 'x' }),
    signal: left.signal,
  }).catch(() => undefined)
  while (open.length === 0) await setTimeout(5)
  t.match(await say(served, 'demo'), { status: 200 }, 'others are served meanwhile')
  left.abort()
  await request
  for (let i = 0; i < 400 && !open[0].destroyed; i++) await setTimeout(5)
  t.ok(open[0].destroyed)
  local.misbehave = undefined
  t.match(await say(served, 'org/pirate'), { status: 200 })
})

t.test('over HTTP: loaded, replaced by what the branch stands for then, and there at the next start', async (t) => {
  const local = await localHub(t)
  const first = local.commit('org/pirate', PIRATE)
  local.commit('other/pirate', PIRATE)
  local.commit('pirate/local', ROBOT)
  const hub = hubOf(t, local)
  const folder = temporaryFolder(t)
  cpSync(demoModel('adapters/pirate'), path.join(folder, 'pirate/local'), { recursive: true })
  const settings = {
    adapters: folder,
    'hub-allow': ['org/*', 'pirate/*'],
    'allow-adapter-management': true,
    'state-dir': path.join(temporaryFolder(t), 'state'),
  }
  {
    const served = await startClosable(hub, settings)
    t.match(await served.post('/adapters', { name: 'x', src: 'org/pirate', pin: true, limits: { max_requests: 3 } }), {
      status: 200,
      body: { source: `hub: org/pirate@${first}`, pinned: true, state: 'loaded' },
    })
    const lora = await fetch(`${served.url}/v1/load_lora_adapter`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ lora_name: 'y', lora_path: `hf://org/pirate@${first}` }),
    })
    t.equal(await lora.text(), "Success: LoRA adapter 'y' added successfully.")
    t.match(await served.post('/adapters', { name: 'folder', src: 'pirate/local' }), { status: 200, body: { source: null } })
    t.match(await served.post('/adapters', { name: 'hub', src: 'hf://pirate/local' }), {
      status: 200,
      body: { source: /^hub: pirate\/local@/ },
    })
    for (const [src, status, code] of [
      ['other/pirate', 403, 'not_allowed'],
      ['hf://other/pirate', 403, 'not_allowed'],
      ['hf://x', 400, 'invalid_request'],
      ['org/none', 404, 'adapter_not_found'],
      ['org/pirate@none', 404, 'adapter_not_found'],
      ['./org/pirate', 404, 'adapter_not_found'],
      ['/org/pirate', 403, 'not_allowed'],
      ['../org/pirate', 403, 'not_allowed'],
    ] as const)
      t.match(await served.post('/adapters', { name: 'z', src }), { status, body: { error: { code, param: 'src' } } }, src)
    const second = local.commit('org/pirate', ROBOT)
    t.match(await served.post('/adapters', { name: 'x', src: 'org/pirate', replace: true }), {
      body: { source: `hub: org/pirate@${second}` },
    })
    await served.close()
  }
  local.requests.length = 0
  const robot = readFileSync(demoModel('adapters/robot/adapter_config.json'))
  {
    const served = await startClosable(hub, settings)
    t.match(await get(served, '/adapters/x'), { source: /^hub: org\/pirate@/, pinned: true, limits: { max_requests: 3 } })
    t.match(await get(served, '/adapters/y'), { source: `hub: org/pirate@${first}`, origin: 'api' })
    t.same(local.requests, [], 'what is in the cache is not asked for')
    t.same(readFileSync(path.join((await get(served, '/adapters/x')).root as string, 'adapter_config.json')), robot)
    t.match(await say(served, 'y'), { status: 200 })
    await served.close()
  }
  rmSync(hub.cache, { recursive: true })
  {
    const served = await startClosable(hub, settings)
    t.match(await say(served, 'y'), { status: 200 }, 'what is not is fetched again')
    t.match(await get(served, '/adapters/y'), { source: `hub: org/pirate@${first}` })
    await served.close()
  }
  const warned: string[] = []
  const served = await startClosable(hub, { ...settings, 'hub-allow': undefined }, warned)
  t.match(await say(served, 'y'), { status: 404 })
  t.ok(
    warned.some((line) =>
      /adapter y, registered over HTTP, is org\/pirate@[0-9a-f]{40}, which --hub-allow does not allow/.test(line),
    ),
  )
  t.match(await served.post('/adapters', { name: 'z', src: 'org/pirate' }), {
    status: 404,
    body: { error: { message: /--hub-allow/ } },
  })
  await served.close()
})

t.test('the command line: lines, the base model, its errors, and Ctrl-C in a download', async (t) => {
  const local = await localHub(t)
  local.commit('org/base', BASE)
  local.commit('org/gated', BASE, { gated: true })
  local.commit('org/pirate', PIRATE)
  const cache = path.join(temporaryFolder(t), 'hub')
  const environment = { HF_ENDPOINT: local.endpoint, HF_HUB_CACHE: cache, HF_TOKEN: HUB_TOKEN }
  const running = await serving(t, ['org/base', '--adapter', 'pirate=org/pirate', '--device', 'cpu'], environment)
  t.match(running.stdout(), /serving org\/base with 1 adapter/)
  const [first, second] = running.stderr().split('\n')
  t.match(first, /^lorikeet: fetching org\/base from the hub: 6\.6 MB$/)
  t.match(second, /^lorikeet: org\/base is fetched$/)
  running.child.kill('SIGTERM')
  await running.ended
  for (const [model, others, message] of [
    ['org/none', {}, /the model org\/none cannot be fetched: the hub has no org\/none.*and there is no folder org\/none here/],
    ['org/base@none', {}, /org\/base has no revision none/],
    ['org/gated', { HF_TOKEN: 'hf_other' }, /gated.*the server's token \(HF_TOKEN\) does not give access/],
    ['org/pirate', {}, /it is an adapter and not a model \(--adapter NAME=ORG\/NAME\)/],
    ['org/pirate', { HF_HUB_OFFLINE: '1' }, /org\/pirate is not in \S+hub, or not whole, and HF_HUB_OFFLINE/],
    ['org/new', { HF_ENDPOINT: 'http://127.0.0.1:1' }, /the hub at http:\/\/127.0.0.1:1 cannot be reached: \S+/],
    ['hf://base', {}, /hf:\/\/base must be hf:\/\/ORG\/NAME/],
    ['org/base/deeper', {}, /the model folder org\/base\/deeper does not exist/],
  ] as const) {
    const { code, stderr } = await lorikeet(['serve', model, '--port', '0'], { ...environment, ...others }).ended
    t.equal(code, 1, model)
    t.match(stderr, message)
    t.notMatch(stderr, HUB_TOKEN)
  }
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const held: import('node:net').Socket[] = []
  silent.on('connection', (socket) => held.push(socket))
  t.teardown(() => {
    for (const socket of held) socket.destroy()
    silent.close()
  })
  const endpoint = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  const hanging = lorikeet(['serve', 'org/other', '--port', '0'], { ...environment, HF_ENDPOINT: endpoint })
  t.teardown(() => hanging.child.kill('SIGKILL'))
  await once(silent, 'connection')
  const asked = performance.now()
  hanging.child.kill('SIGINT')
  t.equal((await hanging.ended).signal, 'SIGINT')
  t.ok(performance.now() - asked < 2000)
})
