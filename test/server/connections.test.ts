/** Clients that are slow, or leave with requests in the pipeline, keep no place from others. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { request } from '../support/http.ts'
import { type Served, startServed } from '../support/served.ts'

function open(t: Test, served: Served): Socket {
  const socket = connect({ port: Number(new URL(served.url).port), host: '127.0.0.1' })
  t.teardown(() => socket.destroy())
  return socket
}

const head = (length: number) =>
  `POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`

/** Until the server ends the connection. */
async function allOf(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (bytes: Buffer) => {
    text += bytes
  })
  await once(socket, 'close')
  return text
}

const ask = async (served: Served) =>
  (await request(`${served.url}/v1/completions`, { body: '{"prompt":"a","max_tokens":1}' })).status

t.test('bodies that do not come hold no place, and are given up', async (t) => {
  const served = await startServed(t, { 'max-concurrent-requests': 2, 'request-timeout': 1 })
  const slow = [open(t, served), open(t, served)]
  for (const socket of slow) socket.write(`${head(100)}{`)
  const answers = slow.map(allOf)
  for (let i = 0; i < 3; i++) t.equal(await ask(served), 200)
  for (const answer of await Promise.all(answers)) {
    t.match(answer, /^HTTP\/1\.1 408 Request Timeout\r\n/)
    t.match(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))), {
      error: { code: 'request_timeout', message: /within 1 s/, type: 'invalid_request_error', param: null },
    })
  }
  t.equal(await ask(served), 200)
})

t.test('a head that is no HTTP, or too large, is an error in our shape', async (t) => {
  const served = await startServed(t, {})
  for (const [text, status, code] of [
    ['BREW /coffee\r\n\r\n', 400, 'invalid_request'],
    [`GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
  ] as const) {
    const socket = open(t, served)
    socket.write(text)
    const answer = await allOf(socket)
    t.ok(answer.startsWith(`HTTP/1.1 ${status} `), answer.slice(0, 40))
    t.equal(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))).error.code, code)
  }
})

t.test('requests of one connection are handled in turn; when it is reset all of them are over', async (t) => {
  const served = await startServed(t, { 'max-concurrent-requests': 1 })
  const body = JSON.stringify({ prompt: 'Once', max_tokens: 900, ignore_eos: true, stream: true })
  const socket = open(t, served)
  socket.write((head(body.length) + body).repeat(8))
  await once(socket, 'data')
  let running = 0
  for (let i = 0; i < 200 && running === 0; i++) running = (await request(`${served.url}/load`)).json.server_load
  t.equal(running, 1)
  t.equal(await ask(served), 429)
  socket.resetAndDestroy()
  await served.serving.engine.idle()
  t.equal(await ask(served), 200)
  t.same(await served.idleComplaints(), [])
})

t.test('pipelined requests are answered in order, each as if it were alone', async (t) => {
  const served = await startServed(t, { 'max-concurrent-requests': 1 })
  const bodies = [8, 1, 3].map((max_tokens) => JSON.stringify({ prompt: 'Once', max_tokens, ignore_eos: true }))
  const socket = open(t, served)
  const last = `GET /version HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`
  socket.write(bodies.map((body) => head(body.length) + body).join('') + last)
  const text = await allOf(socket)
  t.same(
    [...text.matchAll(/"completion_tokens":(\d+)/g)].map(([, tokens]) => Number(tokens)),
    [8, 1, 3],
  )
  t.match(text, /"version"[^{}]*}$/)
})

t.test('more than a client can mean to ask for at once ends its connection', async (t) => {
  const served = await startServed(t, {})
  const body = JSON.stringify({ prompt: 'Once', max_tokens: 900, ignore_eos: true, stream: true })
  const socket = open(t, served)
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  socket.write((head(body.length) + body).repeat(200))
  socket.resume()
  await closed
  await served.serving.engine.idle()
  t.equal(await ask(served), 200)
})

t.test('who reads nothing is cut, and keeps no place from others', async (t) => {
  const served = await startServed(t, { 'max-concurrent-requests': 2, 'write-timeout': 1 })
  const ask = async () => (await request(`${served.url}/v1/completions`, { body: '{"prompt":"a","max_tokens":1}' })).status
  // Some 20 MB, which no system buffers.
  const large = { prompt: 'Once', max_tokens: 150, n: 128, logprobs: 20, ignore_eos: true }
  for (const stream of [false, true]) {
    const body = JSON.stringify({ ...large, stream })
    const silent = [open(t, served), open(t, served)]
    const gone = silent.map((socket) => once(socket, 'close'))
    for (const socket of silent) {
      socket.on('error', () => {})
      socket.pause()
      socket.write(head(body.length) + body)
    }
    // A stream may have been cut already: 4 MiB wait for it at most.
    let refused = stream
    for (let i = 0; i < 400 && !refused; i++) refused = (await ask()) === 429
    t.ok(refused, 'they hold every place while they are served')
    let status = 429
    const started = performance.now()
    while (status !== 200 && performance.now() - started < 60_000) {
      await setTimeout(50)
      status = await ask()
    }
    t.equal(status, 200, stream ? 'streams' : 'whole answers')
    if (!stream) t.ok(performance.now() - started > 900, 'not before its time')
    for (const socket of silent) socket.destroy()
    await Promise.all(gone)
  }
  t.same(await served.idleComplaints(), [])
})

t.test('a slow reader is no silent one', async (t) => {
  const served = await startServed(t, { 'write-timeout': 1 })
  const body = JSON.stringify({ prompt: 'Once', max_tokens: 100, n: 32, logprobs: 20, ignore_eos: true })
  const socket = open(t, served)
  socket.write(`${head(body.length).replace('host', 'connection: close\r\nhost')}${body}`)
  let text = ''
  for await (const piece of socket) {
    text += piece
    // 64 KiB at a time: four seconds in all.
    await setTimeout(50)
  }
  t.match(text, /\r\n0\r\n\r\n$/, `${text.length} bytes, whole`)
})

t.test('what is wrong behind a running answer is not written into it; a request that waits is not late', async (t) => {
  const served = await startServed(t, { 'request-timeout': 1 })
  const body = JSON.stringify({ prompt: 'Once', max_tokens: 900, ignore_eos: true, stream: true })
  const events = (text: string) => text.slice(text.indexOf('\r\n\r\n') + 4)
  const broken = open(t, served)
  broken.on('error', () => {})
  const got = allOf(broken)
  broken.write(`${head(body.length)}${body}`)
  await once(broken, 'data')
  broken.write('BREW /coffee\r\n\r\n')
  t.notMatch(events(await got), /HTTP\/1.1/)
  // A body that Node does not read before its turn comes.
  const large = JSON.stringify({ prompt: 'a'.repeat(3 << 20), max_tokens: 1 })
  const slow = open(t, served)
  slow.write(`${head(body.length)}${body}${head(large.length)}${large}`)
  let text = ''
  slow.on('data', (piece: Buffer) => {
    text += piece
  })
  for (let i = 0; i < 500 && !text.includes('[DONE]'); i++) await setTimeout(20)
  t.match(text, /data: \[DONE\]\n\n/, 'whole, though the one behind it took longer than a request may')
  slow.destroy()
  await served.serving.engine.idle()
})
