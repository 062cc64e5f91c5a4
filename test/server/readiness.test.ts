/** When a server says that it is alive, and when that requests should be sent to it. */
import { cpSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { get as getSecure } from 'node:https'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { configOf } from '../../server/config/config.ts'
import { serve } from '../../server/serve.ts'
import { Starting } from '../../server/starting.ts'
import { type Answer, request } from '../support/http.ts'
import { demoModel, repoRoot, temporaryFolder } from '../support/repo.ts'
import { startServed } from '../support/served.ts'

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

t.test('from the first moment the port tells that the base loads, and 200 only once it can be asked', async (t) => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const told: { health: Answer; ready: Answer; chat: Answer }[] = []
  let done = false
  const server = serve(configOf({ port, 'log-level': 'fatal' })).finally(() => {
    done = true
  })
  while (!done) {
    const [health, ready, chat] = await Promise.all([
      request(`${url}/health`).catch(() => undefined),
      request(`${url}/ready`).catch(() => undefined),
      request(`${url}/v1/chat/completions`, { body: '{"messages":[]}' }).catch(() => undefined),
    ])
    // Between the two listeners there is a moment with none.
    if (health && ready && chat) told.push({ health, ready, chat })
    await setTimeout(5)
  }
  const { close } = await server
  t.teardown(close)
  const loading = told.filter(({ health }) => health.status === 503)
  t.ok(loading.length > 0, 'it was asked before the base was loaded')
  for (const { health, ready, chat } of loading.slice(0, -1))
    for (const { status, headers, json } of [health, ready, chat]) {
      t.equal(status, 503)
      t.equal(headers.get('retry-after'), '5')
      t.match(json, {
        error: { code: 'server_loading', message: /^the base model is loading/, type: 'service_unavailable_error', param: null },
      })
    }
  for (const at of ['/health', '/ready']) {
    const { status, text } = await request(`${url}${at}`)
    t.same([status, text], [200, ''])
  }
})

t.test('while it loads: how far it is, in the shape of who asks, over TLS too', async (t) => {
  const tls = path.join(repoRoot(), 'test/fixtures/tls')
  const certificate = { cert: readFileSync(`${tls}/cert.pem`, 'utf8'), key: readFileSync(`${tls}/key.pem`, 'utf8') }
  const port = await freePort()
  const starting = await Starting.listen({ host: 'localhost', port }, certificate)
  t.teardown(() => starting.close())
  const get = (at: string) =>
    new Promise<string>((resolve, reject) => {
      getSecure(`https://localhost:${port}${at}`, { ca: certificate.cert }, async (response) =>
        resolve(`${response.statusCode} ${Buffer.concat(await response.toArray())}`),
      ).on('error', reject)
    })
  t.match(await get('/ready'), /^503 .*"message":"the base model is loading","type"/)
  starting.progress = 0.428
  t.match(await get('/health'), /^503 .*"message":"the base model is loading: 42 % of its weights have been read"/)
  t.match(await get('/v1/messages'), /^503 {"type":"error","error":{"type":"overloaded_error","message":"the base/)
  await t.rejects(Starting.listen({ host: 'localhost', port }), { code: 'EADDRINUSE' })
  await starting.close()
  await t.rejects(get('/ready'), { code: 'ECONNREFUSED' })
})

t.test('a port that is taken is told before anything is loaded', async (t) => {
  const port = await freePort()
  const starting = await Starting.listen({ host: '127.0.0.1', port })
  t.teardown(() => starting.close())
  let read = false
  const onProgress = () => {
    read = true
  }
  await t.rejects(serve(configOf({ port, 'log-level': 'fatal' }), { onProgress }), { code: 'EADDRINUSE' })
  t.notOk(read)
})

t.test('what was pinned before the last end must be there', async (t) => {
  const roots = temporaryFolder(t)
  const state = path.join(temporaryFolder(t), 'state')
  for (const name of ['pirate', 'robot'])
    cpSync(demoModel(`adapters/${name}`), path.join(roots, `my-${name}`), { recursive: true })
  const settings = { 'adapter-roots': [roots], 'allow-adapter-management': true, 'state-dir': state, 'log-level': 'silent' }
  const start = async () => {
    const server = await serve(configOf({ ...settings, port: 0 }))
    return { ...server, ready: () => request(`${server.address}/ready`) }
  }
  const first = await start()
  for (const [name, pin] of [
    ['my-pirate', true],
    ['my-robot', false],
  ] as const) {
    const body = JSON.stringify({ name, src: path.join(roots, name), pin })
    t.equal((await request(`${first.address}/adapters`, { body })).status, 200)
  }
  t.equal((await first.ready()).status, 200)
  await first.close()

  // The folder that replicas share is not there yet.
  rmSync(path.join(roots, 'my-pirate'), { recursive: true })
  rmSync(path.join(roots, 'my-robot'), { recursive: true })
  const second = await start()
  t.teardown(() => second.close())
  await second.preloaded
  const { status, headers, json } = await second.ready()
  t.equal(status, 503)
  t.equal(headers.get('retry-after'), '1')
  t.match(json.error, {
    code: 'pinned_adapters_missing',
    message: /^one pinned adapter is not in host memory yet, and 1 of them/,
  })
  t.notMatch(json.error.message, /pirate/, 'the page is open: it names nobody')
  t.equal((await request(`${second.address}/health`)).status, 200, 'it is alive')
  cpSync(demoModel('adapters/pirate'), path.join(roots, 'my-pirate'), { recursive: true })
  const until = performance.now() + 30_000
  while ((await second.ready()).status !== 200 && performance.now() < until) await setTimeout(100)
  t.equal((await second.ready()).status, 200, 'it was looked for again, though nobody asked')
  t.match((await (await fetch(`${second.address}/adapters/my-pirate`)).json()) as object, { state: 'loaded', pinned: true })
})

t.test('what is pinned and then unloaded is waited for no more', async (t) => {
  const roots = temporaryFolder(t)
  const state = path.join(temporaryFolder(t), 'state')
  cpSync(demoModel('adapters/pirate'), path.join(roots, 'my-pirate'), { recursive: true })
  const settings = { 'adapter-roots': [roots], 'allow-adapter-management': true, 'state-dir': state, 'log-level': 'silent' }
  const first = await serve(configOf({ ...settings, port: 0 }))
  const body = JSON.stringify({ name: 'my-pirate', src: path.join(roots, 'my-pirate'), pin: true })
  t.equal((await request(`${first.address}/adapters`, { body })).status, 200)
  await first.close()
  rmSync(path.join(roots, 'my-pirate'), { recursive: true })
  const served = await startServed(t, settings)
  await served.preloaded
  t.equal((await request(`${served.url}/ready`)).status, 503)
  t.equal((await request(`${served.url}/adapters/my-pirate`, { method: 'DELETE' })).status, 200)
  t.equal((await request(`${served.url}/ready`)).status, 200)
})
