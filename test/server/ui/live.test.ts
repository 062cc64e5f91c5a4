/** The page's files and its socket: who may have what, what is told, and what bounds it. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { sha256 } from '../../../server/access/key.ts'
import { entryLine } from '../../../server/access/key-file.ts'
import { MOST_STRANGERS, MOST_WATCHERS } from '../../../server/ui/feed.ts'
import { MOST_BACKLOG, MOST_MESSAGE, type Socket, Watcher } from '../../../server/ui/watcher.ts'
import { request } from '../../support/http.ts'
import { demoModel, repoRoot } from '../../support/repo.ts'
import { type Served, startServed } from '../../support/served.ts'
import { TestSocket } from '../../support/web-socket.ts'

const demo = { model: demoModel('base'), adapters: demoModel('adapters'), 'served-model-name': 'demo', pool: '16MiB' }
const files = readdirSync(path.join(repoRoot(), 'server/ui/page'))
const serve = (t: Test, settings: Record<string, unknown> = {}) => startServed(t, { ...demo, ...settings })

/** A socket that watches. */
async function watch(url: string, key = '', headers: Record<string, string> = {}): Promise<TestSocket> {
  const socket = await TestSocket.open(`${url}/ui/live`, headers)
  socket.send({ key })
  return socket
}

/** Applies a frame as the page does; returns the numbers of the loads. */
function apply(values: Uint32Array, words: Uint32Array): Uint32Array {
  if (words[0] === 1) values.fill(0)
  for (let at = 4 + words[2]; at < words.length; at += 2 + words[at + 1])
    values.set(words.subarray(at + 2, at + 2 + words[at + 1]), words[at])
  return words.subarray(4, 4 + words[2])
}
/** The status may be lost: the connection ends with it. */
const REFUSED = /403|404|socket hang up/
const isFrame = (message: unknown) => message instanceof Uint32Array
const isWhole = (message: unknown) => message instanceof Uint32Array && message[0] === 1

t.test('its files are for everybody, are whole, and need nothing from elsewhere', async (t) => {
  const { url } = await serve(t, { 'api-key': ['sk-1'] })
  const moved = await fetch(`${url}/ui`, { redirect: 'manual' })
  t.equal(moved.status, 302)
  t.equal(new URL(moved.headers.get('location') as string, `${url}/ui`).href, `${url}/ui/`)
  for (const name of files) {
    const { status, headers, text } = await request(`${url}/ui/${name === 'index.html' ? '' : name}`)
    t.equal(status, 200, name)
    t.match(headers.get('content-security-policy'), /default-src 'none'; script-src 'self';.*frame-ancestors 'none'/)
    t.equal(headers.get('x-content-type-options'), 'nosniff')
    t.notMatch(
      text.replaceAll('http://www.w3.org/2000/svg', ''),
      /https?:\/\/|@import|\bstyle="|<script>|\son\w+="/,
      `${name}: no other origin, nothing inline`,
    )
    for (const [, imported] of text.matchAll(/from '\.\/([^']+)'/g)) t.ok(files.includes(imported), `${name} imports ${imported}`)
    const etag = headers.get('etag') as string
    t.equal((await request(`${url}/ui/${name === 'index.html' ? '' : name}`, { headers: { 'if-none-match': etag } })).status, 304)
  }
  t.not((await request(`${url}/ui/..%2ffeed.js`)).status, 200)
  t.not((await request(`${url}/ui/live`)).status, 200, 'no plain answer')
})

t.test('--no-ui: there is none', async (t) => {
  const { url } = await serve(t, { ui: false })
  t.equal((await request(`${url}/ui/`)).status, 404)
  await t.rejects(TestSocket.open(`${url}/ui/live`), REFUSED)
})

t.test('what is told: the server, the whole map, then what changes', async (t) => {
  const served = await serve(t)
  await served.preloaded
  const { engine } = served.serving
  const socket = await watch(served.url)
  const hello = await socket.told('hello')
  t.match(hello, { model: 'demo', manages: false, generates: true, scheduling: 'fcfs' })
  t.equal(hello.engine.blockCount, engine.info.blockCount)
  const values = new Uint32Array(hello.engine.blockCount)
  await socket.told('owners')
  apply(values, await socket.next(isWhole))
  t.ok(
    values.every((value) => value === 0),
    'all is free',
  )
  const ask = (model: string) =>
    served.post('/v1/completions', { model, prompt: 'A fox had a red ball. '.repeat(9), max_tokens: 600, ignore_eos: true })
  const first = ask('pirate')
  // The second finds the prompt of the first in the cache.
  apply(values, await socket.next((one) => isFrame(one) && one[2] > 0))
  await setTimeout(30)
  const asked = Promise.all([first, ask('pirate'), ask('demo')])
  const seen = { running: 0, states: new Set<string>(), names: new Set<string>() }
  for (let done = false; !done; ) {
    const message = await socket.next((one) => isFrame(one) || one.type === 'owners' || one.type === 'now')
    if (message.type === 'now') done = message.running === 0 && message.counters.generationTokens >= 1800
    else if (message.type === 'owners') {
      for (const { adapters } of message.groups) seen.names.add(adapters.map(({ name }: { name: string }) => name).join())
    } else {
      const loads = apply(values, message)
      for (let i = 0; i < loads.length; i += hello.loadFields.length) seen.running = Math.max(seen.running, loads[i + 1])
      for (const value of values) seen.states.add(hello.states[value & ((1 << hello.stateBits) - 1)])
    }
  }
  await asked
  await engine.idle()
  t.equal(seen.running, 2, 'two of a group')
  t.ok(seen.names.has(''), 'the base is a group of its own')
  for (const state of ['sequence', 'shared', 'adapter', 'prefix', 'free']) t.ok(seen.states.has(state), state)
  const second = await socket.told('second')
  t.type(second.ttft.count, 'number')
  // Who comes now is told the same as who was told every change.
  const other = await watch(served.url)
  await other.told('hello')
  const anew = new Uint32Array(values.length)
  apply(anew, await other.next(isWhole))
  apply(values, await socket.next(isWhole))
  t.same(values, anew)
  const count = (state: string) => anew.filter((value) => hello.states[value & 15] === state).length
  const { blocks } = engine.snapshot
  t.same(
    [count('free'), count('sequence') + count('shared'), count('adapter'), count('idle adapter'), count('prefix')],
    [blocks.free, blocks.sequences, blocks.adapters - blocks.idleAdapters, blocks.idleAdapters, blocks.cachedPrefixes],
  )
})

t.test('the list of adapters: found, ordered and described by the server', async (t) => {
  const served = await serve(t)
  await served.preloaded
  const socket = await watch(served.url)
  await socket.told('hello')
  socket.send({ adapters: { find: '', sort: 'name', from: 2, count: 3 } })
  const list = await socket.told('adapters')
  t.match(list, { known: 9, found: 9, from: 2 })
  t.same(
    list.rows.map(({ name }: { name: string }) => name),
    served.serving.adapters
      .list()
      .slice(2, 5)
      .map(({ name }) => name),
  )
  t.match(list.rows[0], { tier: 'host', digest: /^[0-9a-f]{64}$/, traffic: 0 })
  socket.send({ adapters: { find: 'PIR', sort: 'traffic' } })
  t.match(await socket.next((one) => one.type === 'adapters' && one.found === 1), { rows: [{ name: 'pirate', tier: 'host' }] })
  for (let i = 0; i < 5; i++) await served.post('/v1/completions', { model: 'pirate', prompt: 'a', max_tokens: 1 })
  const after = await socket.next((one) => one.type === 'adapters' && one.rows[0].traffic === 1)
  t.match(after.rows[0], { tier: 'pool', uses: 6 })
  socket.send({ names: 'p' })
  t.same((await socket.told('names')).names, ['pirate', 'spanish'], 'first what begins with it')
  socket.send({ adapters: null })
  await setTimeout(200)
  socket.messages.length = 0
  await socket.told('second')
  await socket.told('second')
  t.notOk(
    socket.messages.some((one) => one.type === 'adapters'),
    'told no more',
  )
})

t.test('with keys: an admin alone, and as long as the key is one', async (t) => {
  const keys = path.join(t.testdir({ 'keys.jsonl': '' }), 'keys.jsonl')
  const { url } = await serve(t, { 'api-key': ['admin-key', 'acme=tenant-key'], 'api-key-file': keys })
  for (const [key, code] of [
    ['', 4401],
    ['wrong', 4401],
    ['tenant-key', 4403],
  ] as const) {
    const socket = await watch(url, key)
    t.equal((await socket.closed).code, code, key)
    t.same(socket.messages, [], 'nothing is told before')
  }
  const admin = await watch(url, 'admin-key')
  t.match(await admin.told('hello'), { model: 'demo' })
  writeFileSync(keys, `${entryLine({ sha256: sha256('second-key'), tenant: 'ops', admin: true })}\n`)
  await setTimeout(3000)
  const second = await watch(url, 'second-key')
  t.ok(await second.told('hello'))
  writeFileSync(keys, '')
  t.equal((await second.closed).code, 4401, 'its key is no key any more')
  t.notOk(admin.socket.destroyed, 'the other one goes on')
  const early = await TestSocket.open(`${url}/ui/live`)
  early.send({ names: '' })
  t.equal((await early.closed).code, 4401, 'nothing is answered before the key')
})

t.test('with an admin port it is there, and asks for a key all the same', async (t) => {
  const { url, adminUrl } = await serve(t, { 'admin-port': 0, 'api-key': ['admin-key'] })
  t.equal((await request(`${url}/ui/`)).status, 401, 'who has no key learns of no route')
  t.equal((await request(`${url}/ui/`, { headers: { 'x-api-key': 'admin-key' } })).status, 404)
  t.equal((await request(`${adminUrl}/ui/`)).status, 200)
  t.equal((await (await watch(adminUrl as string)).closed).code, 4401)
  t.match(await (await watch(adminUrl as string, 'admin-key')).told('hello'), { generates: false })
})

t.test('a page of another origin gets no socket', async (t) => {
  const { url } = await serve(t, { 'cors-origin': ['https://ops.example'] })
  const host = new URL(url).host
  for (const origin of ['https://evil.example', 'null', `http://${host}.evil.example`, 'http://127.0.0.1', `http://localhost:1`])
    await t.rejects(TestSocket.open(`${url}/ui/live`, { origin }), REFUSED, origin)
  await t.rejects(
    TestSocket.open(`${url}/ui/live`, { host: 'evil.example', origin: 'http://evil.example' }),
    REFUSED,
    'rebinding',
  )
  for (const origin of [`http://${host}`, `https://${host}`, 'https://ops.example'])
    t.ok(await (await watch(url, '', { origin })).told('hello'), origin)
})

t.test('what a page may say is bounded', async (t) => {
  const { url } = await serve(t)
  const said = async (say: (socket: TestSocket) => void) => {
    const socket = await watch(url)
    await socket.told('hello')
    say(socket)
    return (await socket.closed).code
  }
  t.equal(await said((socket) => socket.frame(1, Buffer.alloc(MOST_MESSAGE + 1, 32))), 1009, 'too long')
  t.equal(await said((socket) => socket.frame(2, Buffer.from('{}'))), 1008, 'bytes')
  t.equal(await said((socket) => socket.frame(1, Buffer.from('[1'))), 1008, 'no JSON')
  t.equal(await said((socket) => socket.send({ adapters: { count: 1e6 } })), 1008, 'too many rows')
  t.equal(await said((socket) => socket.send({ adapters: { sort: '__proto__' } })), 1008)
  t.equal(
    await said((socket) => {
      for (let i = 0; i < 30; i++) socket.send({ names: 'a' })
    }),
    1008,
    'too often',
  )
})

t.test('sockets are bounded: those who say nothing make room, and so many watch', async (t) => {
  const { url } = await serve(t)
  const strangers: TestSocket[] = []
  for (let i = 0; i <= MOST_STRANGERS; i++) strangers.push(await TestSocket.open(`${url}/ui/live`))
  t.equal((await strangers[0].closed).code, 1013, 'the first of them goes')
  t.equal((await strangers[1].closed).code, 4401, 'who says nothing for five seconds goes')
  const watching: TestSocket[] = []
  for (let i = 0; i < MOST_WATCHERS; i++) {
    watching.push(await watch(url))
    await watching[i].told('hello')
  }
  t.equal((await (await watch(url)).closed).code, 1013)
  watching[0].socket.destroy()
  await setTimeout(100)
  t.ok(await (await watch(url)).told('hello'), 'a place is free again')
})

t.test('a reader that is too slow is cut', async (t) => {
  const done: string[] = []
  const socket = (bufferedAmount: number): Socket => ({
    bufferedAmount,
    send: () => done.push('sent'),
    close: () => done.push('closed'),
    terminate: () => done.push('cut'),
    ping: () => done.push('asked'),
    on: () => undefined,
  })
  new Watcher(socket(MOST_BACKLOG)).send('a')
  new Watcher(socket(MOST_BACKLOG + 1)).send('a')
  t.same(done.splice(0), ['sent', 'cut'])
  const silent = new Watcher(socket(0))
  silent.ping()
  silent.ping()
  t.same(done, ['asked', 'cut'], 'one that answers no ping as well')
})

t.test('nobody watches: the engine is not asked, and nothing is counted', async (t) => {
  const served = await serve(t)
  const { engine, metrics } = served.serving
  let looks = 0
  const look = engine.look.bind(engine)
  engine.look = (whole) => {
    looks++
    return look(whole)
  }
  await setTimeout(300)
  t.equal(looks, 0)
  const socket = await watch(served.url)
  await socket.told('second')
  t.ok(looks >= 5 && looks <= 12, `${looks} looks in a second`)
  t.ok(metrics.watched)
  socket.socket.destroy()
  await setTimeout(100)
  looks = 0
  await setTimeout(300)
  t.equal(looks, 0)
  t.equal(metrics.watched, undefined)
})

/** The head and body of an answer to raw bytes. */
function raw(served: Served, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(served.url).port), '127.0.0.1')
    let answer = ''
    socket.on('data', (data) => {
      answer += data
      if (answer.includes('"usage"') || answer.includes('"error"')) socket.destroy()
    })
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
    socket.write(text)
  })
}

t.test('requests that offer to leave HTTP go on being requests', async (t) => {
  const served = await serve(t)
  const body = JSON.stringify({ prompt: 'a', max_tokens: 1 })
  const post = (offer: string) =>
    raw(
      served,
      `POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n${offer}\r\n\r\n${body}`,
    )
  // Java's HTTP client sends this with every request.
  t.match(
    await post('connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAAA'),
    /^HTTP\/1\.1 200 /,
  )
  t.match(await post('connection: upgrade\r\nupgrade: websocket'), /^HTTP\/1\.1 200 /)
  await t.rejects(TestSocket.open(`${served.url}/v1/models`), /200/, 'no other path is a socket')
  await t.rejects(TestSocket.open(`${served.url}/ui/`), /200/)
})

t.test('closing does not wait for pages', async (t) => {
  const { serve } = await import('../../../server/serve.ts')
  const { configOf } = await import('../../../server/config/config.ts')
  const server = await serve(configOf({ ...demo, port: 0, 'log-level': 'fatal' }))
  const polite = await watch(server.address)
  await polite.told('hello')
  const rude = await watch(server.address)
  await rude.told('hello')
  rude.frame = () => {}
  rude.socket.end = () => rude.socket
  const started = performance.now()
  await server.close()
  t.ok(performance.now() - started < 5000, `${Math.round(performance.now() - started)} ms`)
  t.equal((await polite.closed).code, 1001)
})

t.test('every file of the page is one that the server knows how to send', async (t) => {
  for (const name of files) t.match(name, /\.(html|css|mjs|svg)$/)
  t.ok(readFileSync(path.join(repoRoot(), 'server/ui/page/index.html'), 'utf8').includes('lang="en"'))
})
