/** What an independent client of KV events believes is what is cached, whatever became of the messages: lost, more of them than the server keeps, or of a server that was killed and started again. */
import t from 'tap'
import { request } from '../../support/http.ts'
import { KvIndex, noKvIndex } from '../../support/kv-index.ts'
import { freePorts } from '../../support/ports.ts'
import { demoModel } from '../../support/repo.ts'
import { serving } from '../cli/running.ts'
import { CONFIG, cachedAt, compare, complete, prompt, STYLES, start } from './indexed.ts'

const skip = noKvIndex()

t.test('who misses batches asks for them; who missed more than are kept starts over', { skip }, async (t) => {
  const { served, index, late } = await start(t, { buffer_steps: 12 })
  const { url, serving } = served
  let n = 0
  const some = async (count: number) => {
    for (let i = 0; i < count; i++) await complete(served, STYLES[n % 3], n++)
    await serving.engine.idle()
  }
  await some(1)
  t.match(await compare(t, url, index, 'from the first batch on'), { anew: 0 })
  // What it has asked for comes live too.
  await index.wait()

  const from = (await cachedAt(url)).sequence
  await index.deaf(1)
  while ((await cachedAt(url)).sequence < from + 3) await some(1)
  const { sequence } = await cachedAt(url)
  // What is kept reaches back to the last batch that was read, or not: then it had to start over, which is right too.
  const healed = await compare(t, url, index, 'after a loss')
  t.equal(healed.lost, 1)
  t.ok(healed.asked > 1, `it asked for what it missed of ${sequence - from} batches`)

  const before = (await cachedAt(url)).sequence
  await index.deaf(20)
  while ((await cachedAt(url)).sequence < before + 40) await some(2)
  const { anew } = await compare(t, url, index, 'after a loss of more than are kept')
  t.ok(anew > healed.anew, 'it started over')
  await some(2)
  t.equal((await compare(t, url, index, 'then it goes on')).anew, anew)

  const one = late()
  t.match(await compare(t, url, one, 'who comes late'), { anew: 1, faults: [] })
  await some(3)
  t.match(await compare(t, url, one, 'and goes on'), { anew: 1, faults: [] })
})

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
    running = await run()
    await some(1)
    t.match(await compare(t, url, index, 'the fourth server'), { faults: [] })
    running.child.kill('SIGKILL')
  })
})
