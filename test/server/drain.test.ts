/** Closing while answers are under way. */
import t from 'tap'
import { configOf } from '../../server/config/config.ts'
import { serve } from '../../server/serve.ts'

const stream = (address: string, max_tokens: number, signal?: AbortSignal) =>
  fetch(`${address}/v1/completions`, {
    method: 'POST',
    signal,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Once', max_tokens, ignore_eos: true, stream: true }),
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
  const { address, close } = await started(60)
  const response = await stream(address, 100)
  const [seconds, text] = await Promise.all([close(), response.text()])
  t.match(text, /"finish_reason":"length"[^\n]*\n\ndata: \[DONE\]\n\n$/)
  t.ok(seconds < 20, `closed in ${seconds} s`)
  await t.rejects(stream(address, 1), 'no more is taken')
})

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

t.test('what does not end within the drain timeout is cut', async (t) => {
  const { address, close } = await started(0)
  const response = await stream(address, 1000)
  await Promise.all([close(), t.rejects(response.text())])
})
