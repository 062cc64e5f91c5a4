/** What an independent client of KV events believes is what is cached, also when the server was killed and started again meanwhile, which numbers its batches from 0 on. */
import t from 'tap'
import { request } from '../../support/http.ts'
import { KvIndex, noKvIndex } from '../../support/kv-index.ts'
import { freePorts } from '../../support/ports.ts'
import { demoModel } from '../../support/repo.ts'
import { serving } from '../cli/running.ts'
import { CONFIG, compare, prompt, STYLES } from './indexed.ts'

const skip = noKvIndex()

t.test('a server that is started again is another one, whatever its numbers say', { skip }, async (t) => {
  const [port, live, replay] = await freePorts(3)
  const [endpoint, replayEndpoint] = [`tcp://127.0.0.1:${live}`, `tcp://127.0.0.1:${replay}`]
  const config = { ...CONFIG, endpoint: `tcp://*:${live}`, replay_endpoint: `tcp://*:${replay}` }
  const args = [demoModel('base'), '--adapters', demoModel('adapters'), '--port', `${port}`, '--log-level', 'error']
  const run = () => serving(t, [...args, '--kv-events-config', JSON.stringify(config)])
  const url = `http://127.0.0.1:${port}`
  let n = 0
  const some = async (count: number) => {
    for (let i = 0; i < count; i++) {
      const body = JSON.stringify({ model: STYLES[n % 2], prompt: `${n} ${prompt(n++)}`, max_tokens: 1 })
      const { status, text } = await request(`${url}/v1/completions`, { body })
      if (status !== 200) throw new Error(text)
    }
  }
  let running = await run()
  const index = new KvIndex(t, { endpoint, replayEndpoint, topic: 'kv@', url })
  await some(6)
  const first = await compare(t, url, index, 'the first server')
  t.match(first, { connections: 1, anew: 0, faults: [] })
  t.ok(first.hashes.length > 6)

  await t.test('killed, and the new one has told less than the old one', async (t) => {
    running.child.kill('SIGKILL')
    await running.ended
    running = await run()
    await some(2)
    const told = await compare(t, url, index, 'the second server')
    t.ok(told.sequence < first.sequence)
    t.match(told, { anew: 1, faults: [] })
    t.ok(told.connections > 1)
  })
  await t.test('killed, and the new one has told more: its numbers go on where the old ones ended', async (t) => {
    const { sequence } = await index.wait()
    running.child.kill('SIGKILL')
    await running.ended
    running = await run()
    await some(sequence + 3)
    const told = await compare(t, url, index, 'the third server')
    t.ok(told.sequence > sequence)
    t.match(told, { anew: 2, faults: [] })
  })
  await t.test('ended: it says that nothing is cached', async (t) => {
    const { cleared, hashes } = await index.wait()
    t.ok(hashes.length > 0)
    running.child.kill('SIGTERM')
    t.equal((await running.ended).code, 0)
    const told = await index.wait()
    t.same(told.hashes, [])
    t.equal(told.cleared, cleared + 1)
  })
})
