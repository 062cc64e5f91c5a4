/** Closing while answers are under way. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { configOf } from '../../server/config/config.ts'
import { serve } from '../../server/serve.ts'

const stream = (address: string, max_tokens: number, signal?: AbortSignal, streamed = true) =>
  fetch(`${address}/v1/completions`, {
    method: 'POST',
    signal,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Once', max_tokens, ignore_eos: true, stream: streamed }),
  })

async function started(drainTimeout: number) {
  const server = await serve(configOf({ port: 0, 'log-level': 'silent', 'drain-timeout': drainTimeout }))
  const close = async () => {
    const from = performance.now()
    await server.close()
    return (performance.now() - from) / 1000
  }
  return { address: server.address, engine: server.serving.engine, close }
}

t.test('a stream under way is answered to its end, and its kept-alive connection does not delay the close', async (t) => {
  // The most that a timer of Node's holds; one second more is refused.
  const { address, close } = await started(2_147_483)
  const response = await stream(address, 100)
  const [seconds, text] = await Promise.all([close(), response.text()])
  t.match(text, /"finish_reason":"length"[^\n]*\n\ndata: \[DONE\]\n\n$/)
  t.ok(seconds < 20, `closed in ${seconds} s`)
  await t.rejects(stream(address, 1), 'no more is taken')
})

t.test(
  'while draining it is alive and not ready, and refuses what generates; neither that nor probes delay the close',
  async (t) => {
    const { address, engine, close } = await started(60)
    const socket = connect({ port: Number(new URL(address).port), host: '127.0.0.1' })
    t.teardown(() => socket.destroy())
    const response = await stream(address, 400)
    const closed = close()
    const statusOf = async (path: string) => (await fetch(`${address}${path}`, { headers: { connection: 'close' } })).status
    t.equal(await statusOf('/health'), 200)
    t.equal(await statusOf('/ready'), 503)
    t.equal(await statusOf('/metrics'), 200)
    const refused = await stream(address, 1)
    t.equal(refused.status, 503)
    t.equal(refused.headers.get('retry-after'), '1')
    t.equal(refused.headers.get('connection'), 'close')
    t.match(await refused.json(), { error: { code: 'server_draining', type: 'service_unavailable_error' } })
    t.equal(engine.snapshot.running + engine.snapshot.waiting, 1, 'the one from before')
    let over = false
    const probing = (async () => {
      // Always some under way.
      while (!over) await Promise.all([1, 2, 3].map(() => statusOf('/ready').catch(() => 0)))
    })()
    const [seconds, text] = await Promise.all([closed, response.text()])
    over = true
    await probing
    t.match(text, /"finish_reason":"length"[^\n]*\n\ndata: \[DONE\]\n\n$/)
    t.ok(seconds < 30, `closed in ${seconds} s`)
    await t.rejects(statusOf('/health'), 'nothing listens any more')
  },
)

t.test('a client that went away does not delay the close', async (t) => {
  const { address, engine, close } = await started(60)
  const controller = new AbortController()
  const response = await stream(address, 1000, controller.signal)
  await response.body?.getReader().read()
  controller.abort()
  await engine.idle()
  const seconds = await close()
  t.ok(seconds < 20, `closed in ${seconds} s`)
})

t.test('what does not end within the drain timeout is told so, streamed or whole', async (t) => {
  const { address, close } = await started(0)
  const whole = stream(address, 1000, undefined, false)
  const streamed = await stream(address, 1000)
  const [seconds, text, answer] = await Promise.all([close(), streamed.text(), whole])
  t.match(text, /(^|\n\n)data: \{"error":\{[^\n]*"code":"engine_unavailable"\}\}\n\ndata: \[DONE\]\n\n$/)
  t.match(await answer.json(), { error: { code: 'engine_unavailable', message: /shutting down/ } })
  t.equal(answer.status, 503)
  t.ok(seconds < 10, `closed in ${seconds} s`)
})

t.test('an answer that is written but not read yet is not cut', async (t) => {
  const { address, close } = await started(60)
  const body = JSON.stringify({ prompt: 'Once', max_tokens: 110, n: 128, logprobs: 20, ignore_eos: true })
  const socket = connect({ port: Number(new URL(address).port), host: '127.0.0.1' })
  socket.write(
    `POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
  const [first] = (await once(socket, 'data')) as [Buffer]
  socket.pause()
  const closed = close()
  await setTimeout(300)
  const parts = [first]
  socket.on('data', (bytes: Buffer) => parts.push(bytes))
  socket.resume()
  await Promise.all([closed, once(socket, 'close')])
  const text = Buffer.concat(parts)
  const sent = text.subarray(text.indexOf('\r\n\r\n') + 4)
  t.match(text.subarray(0, 2000).toString(), /transfer-encoding: chunked/i)
  t.equal(sent.subarray(-5).toString(), '0\r\n\r\n', 'the last chunk')
  t.ok(sent.length > 7 << 20, `${sent.length} bytes are more than the sockets hold`)
})
