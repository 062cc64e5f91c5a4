/** What `--kv-events-config` makes of a server, and what it warns of. */
import { pino } from 'pino'
import t from 'tap'
import { request } from '../../support/http.ts'
import { demoModel } from '../../support/repo.ts'
import { startServed } from '../../support/served.ts'
import { CONFIG as config } from './indexed.ts'

t.test('what cannot be had is said at the start', async (t) => {
  const { kvEvents } = await startServed(t, { model: demoModel('base'), 'kv-events-config': config })
  const endpoint = kvEvents?.endpoint as string
  await t.rejects(
    startServed(t, { model: demoModel('base'), 'kv-events-config': { ...config, endpoint: endpoint.replace('127.0.0.1', '*') } }),
    {
      message: /--kv-events-config: .*in use/i,
    },
  )
  await t.rejects(startServed(t, { model: demoModel('base'), 'kv-events-config': config, 'prefix-cache': false }), {
    message: /--no-prefix-cache/,
  })
})

t.test('who could read it from elsewhere is said in the log, of past batches too', async (t) => {
  const start = async (more: object) => {
    const lines: string[] = []
    const log = pino({ level: 'warn' }, { write: (line: string) => lines.push(line) })
    await startServed(t, { model: demoModel('base'), 'kv-events-config': { ...config, ...more } }, { log })
    return lines.filter((line) => line.includes('reads the token ids'))
  }
  t.same(await start({}), [])
  t.match(await start({ endpoint: 'tcp://*:*' }), [/whoever reaches tcp:\/\/0\.0\.0\.0:\d+ reads/])
  t.match(await start({ replay_endpoint: 'tcp://*:*' }), [/whoever reaches tcp:\/\/0\.0\.0\.0:\d+ reads/])
})

t.test('off, it is not there', async (t) => {
  const served = await startServed(t, { model: demoModel('base'), 'kv-events-config': { endpoint: 'tcp://*:5557' } })
  t.equal(served.kvEvents, undefined)
  t.equal((await request(`${served.url}/kv_events/blocks`)).status, 404)
})
