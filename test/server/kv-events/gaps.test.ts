/** What an independent client of KV events believes is what is cached, whatever became of the messages: lost, or more of them than the server keeps. */
import t from 'tap'
import { noKvIndex } from '../../support/kv-index.ts'
import { cachedAt, compare, complete, STYLES, start } from './indexed.ts'

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
