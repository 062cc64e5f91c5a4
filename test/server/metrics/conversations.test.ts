/** What /metrics tells of sequences that were ended early, of WebSockets and of stored responses. */
import t from 'tap'
import { startServed } from '../../support/served.ts'
import { TestSocket } from '../../support/web-socket.ts'

t.test('they are counted as they come and go', async (t) => {
  const { url, post, serving } = await startServed(t, {})
  const value = async (name: string) => {
    const page = await (await fetch(`${url}/metrics`)).text()
    const line = page.split('\n').find((one) => one.startsWith(name.replace('{', '{model_name="demo",engine="0",')))
    return Number(line?.split(' ').at(-1))
  }
  const early = (reason: string) => value(`lorikeet_ended_early_total{reason="${reason}"`)
  const prompt = { prompt: 'Once there was a', temperature: 0 }
  t.equal(await early('stop_string'), 0)
  t.match((await post('/v1/completions', { ...prompt, max_tokens: 20, stop: [' '] })).body.choices[0], { finish_reason: 'stop' })
  t.equal(await early('stop_string'), 1)
  const leave = new AbortController()
  const body = JSON.stringify({ ...prompt, max_tokens: 900, n: 2, ignore_eos: true, stream: true })
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${url}/v1/completions`, { method: 'POST', headers, body, signal: leave.signal })
  await response.body?.getReader().read()
  leave.abort()
  for (let i = 0; i < 200 && (await early('left')) < 2; i++) await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(await early('left'), 2)
  await serving.engine.idle()
  t.same([await early('one_call'), await early('other_failed')], [0, 0])

  t.equal(await value('lorikeet_stored_responses'), 0)
  const { body: stored } = await post('/v1/responses', { input: 'Hello', max_output_tokens: 2 })
  t.equal(await value('lorikeet_stored_responses'), 1)
  t.ok((await value('lorikeet_stored_response_bytes')) > 100)
  await fetch(`${url}/v1/responses/${stored.id}`, { method: 'DELETE' })
  t.equal(await value('lorikeet_stored_response_bytes'), 0)

  const { socket } = await TestSocket.open(`${url}/v1/responses`)
  t.equal(await value('lorikeet_websockets'), 1)
  socket.destroy()
  for (let i = 0; i < 200 && (await value('lorikeet_websockets')) > 0; i++)
    await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(await value('lorikeet_websockets'), 0)
})
