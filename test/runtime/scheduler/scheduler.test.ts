/** What a step computes, who is admitted and what an admission may displace. */
import t from 'tap'
import { ToyCore, toyImage, use } from '../../support/toy-core.ts'
import { toyTokens } from '../../support/toy-engine.ts'

const counting = (length: number, from = 0) => Array.from({ length }, (_, i) => (from + i) % 90)

t.test('a long prompt, older than those that decode, does not hold up their tokens', async (t) => {
  const toy = new ToyCore({ blockCount: 200, maxBatchTokens: 16 })
  for (let i = 0; i < 4; i++) toy.submit(`young ${i}`, [i], [], { maxTokens: 30 }, { arrival: 100 + i })
  await toy.step()
  // It arrived first and was long in coming (tokenizing, or a preemption): it goes ahead of them.
  const old = counting(160)
  toy.submit('old', old, [], { maxTokens: 2 }, { arrival: 1 })
  for (let i = 0; i < 6; i++) await toy.step()
  for (let i = 0; i < 4; i++) t.equal(toy.tokens(`young ${i}`).length, 7, 'one token in every step')
  await toy.drain()
  t.same(toy.tokens('old'), toyTokens(old, [], 2))
})

t.test('a prompt is not begun before there is room for all of it', async (t) => {
  const toy = new ToyCore({ blockCount: 16, blockSize: 4, maxBatchTokens: 8, prefixCache: false })
  toy.submit('first', counting(24), [], { maxTokens: 12 })
  toy.submit('second', counting(40, 5), [], { maxTokens: 2 })
  await toy.drain()
  t.same(toy.tokens('second'), toyTokens(counting(40, 5), [], 2))
  t.equal(toy.core.scheduler.preemptions, 0, 'nothing was computed only to be thrown away')
})

t.test('who cannot be admitted puts nothing out', async (t) => {
  const toy = new ToyCore({ blockCount: 18, blockSize: 4 })
  const [idle, wanted] = [toyImage('idle', 3), toyImage('wanted', 4)]
  toy.core.addAdapter(idle)
  toy.core.addAdapter(wanted)
  toy.submit('before', [1], [use(idle)], { maxTokens: 1 })
  await toy.drain()
  toy.submit('long', counting(48), [], { maxTokens: 8 })
  await toy.step()
  // 12 blocks run and 3 are the idle adapter's. The next needs 4 for its adapter, 2 for itself and leaves 1 to the first: 7 of 6.
  toy.submit('waits', counting(8, 40), [use(wanted)], { maxTokens: 2 })
  for (let i = 0; i < 5; i++) await toy.step()
  t.equal(toy.core.scheduler.waiting.length, 1)
  t.equal(toy.core.snapshot().counters.adapterEvictions, 0)
  t.same(
    toy.residents.map((r) => r.image.name),
    ['idle'],
  )
  await toy.drain()
  t.same(toy.tokens('waits'), toyTokens(counting(8, 40), [use(wanted)], 2))
})

t.test(
  'bringing in an adapter does not put out the prefix, or the other half of the mix, that the same request needs',
  async (t) => {
    const toy = new ToyCore({ blockCount: 11, blockSize: 4 })
    const [x, y, filler] = [toyImage('x', 3), toyImage('y', 3), toyImage('filler', 4)]
    for (const image of [x, y, filler]) toy.core.addAdapter(image)
    const mix = [use(y, 0.5), use(x, 0.5)]
    const stem = counting(13)
    toy.submit('first', stem, mix, { maxTokens: 1 })
    await toy.drain()
    // Puts y out in favour of the filler; x and the mix's prefix are what is oldest now.
    const resident = toy.core.pool.adapters.get(y.digest)
    if (resident) toy.core.pool.adapters.evict(resident)
    toy.submit('filler', [1], [use(filler)], { maxTokens: 1 })
    await toy.drain()
    const loads = toy.core.snapshot().counters.adapterLoads
    toy.submit('again', stem, mix, { maxTokens: 3 })
    await toy.drain()
    t.equal(toy.outputs.get('again')?.[0].cachedTokens, 12, 'its prefix was kept')
    t.equal(toy.core.snapshot().counters.adapterLoads, loads + 1, 'y alone was brought in')
    t.same(toy.tokens('again'), toyTokens(stem, mix, 3))
  },
)

t.test('what waits with a given arrival keeps its order through a preemption', async (t) => {
  const toy = new ToyCore({ blockCount: 9, blockSize: 2, maxSequences: 2, prefixCache: false })
  for (let i = 0; i < 4; i++) toy.submit(`${i}`, [i, i, i], [], { maxTokens: 10 }, { arrival: 5 })
  const ends: string[] = []
  while (!toy.core.idle) {
    await toy.step()
    for (let i = 0; i < 4; i++) if (toy.last(`${i}`)?.finish && !ends.includes(`${i}`)) ends.push(`${i}`)
  }
  t.ok(toy.core.scheduler.preemptions > 0)
  t.same(ends, ['0', '1', '2', '3'], 'who is put back goes before those that have never begun')
  for (let i = 0; i < 4; i++) t.same(toy.tokens(`${i}`), toyTokens([i, i, i], [], 10))
})

t.test(
  'fifty adapters asked for in turn: residents are clustered, nobody waits for ever, and every answer is its own',
  async (t) => {
    const toy = new ToyCore({ blockCount: 24, maxSequences: 4 })
    const images = Array.from({ length: 50 }, (_, i) => toyImage(`adapter ${i}`, 4))
    for (const image of images) toy.core.addAdapter(image)
    const order = Array.from({ length: 200 }, (_, i) => (i * 7) % 50)
    for (const [i, a] of order.entries()) toy.submit(`${i}`, [a, i % 90], [use(images[a])], { maxTokens: 3 })
    await toy.drain()
    for (const [i, a] of order.entries()) t.same(toy.tokens(`${i}`), toyTokens([a, i % 90], [use(images[a])], 3), `${i}`)
  },
)

t.test(
  'a mix of adapters that are both out of the pool comes in whole, though only prefixes are there to make room',
  async (t) => {
    const toy = new ToyCore({ blockCount: 12, blockSize: 4 })
    const [x, y] = [toyImage('x', 4), toyImage('y', 4)]
    toy.core.addAdapter(x)
    toy.core.addAdapter(y)
    toy.submit('prefixes', counting(37), [], { maxTokens: 1 })
    await toy.drain()
    t.equal(toy.core.snapshot().blocks.cachedPrefixes, 9, 'too little is free to bring in either beside a step')
    const mix = [use(x, 0.5), use(y, 0.5)]
    toy.submit('mix', [1, 2], mix, { maxTokens: 3 })
    await toy.drain()
    t.same(toy.tokens('mix'), toyTokens([1, 2], mix, 3))
    t.equal(toy.core.snapshot().counters.adapterEvictions, 0, 'the first is not put out for the second')
    t.equal(toy.core.snapshot().counters.adapterLoads, 2)
  },
)

t.test('a cluster of adapters goes before others, within bounds', async (t) => {
  const order = async (adapterCluster: number) => {
    const toy = new ToyCore({ blockCount: 200, maxSequences: 4, adapterCluster })
    const [hot, cold] = ['hot', 'cold'].map((name) => toyImage(name, 1))
    for (const image of [hot, cold]) toy.core.addAdapter(image)
    const ends: string[] = []
    for (let i = 0; i < 4; i++) toy.submit(`hot ${i}`, [i], [use(hot)], { maxTokens: 3 + i })
    await toy.step()
    toy.submit('cold', [9], [use(cold)], { maxTokens: 2 })
    for (let i = 4; i < 30; i++) toy.submit(`hot ${i}`, [i], [use(hot)], { maxTokens: 3 })
    toy.submit('base', [9], [], { maxTokens: 3 })
    while (!toy.core.idle) {
      await toy.step()
      for (const id of toy.outputs.keys()) if (toy.last(id)?.finish && !ends.includes(id)) ends.push(id)
    }
    return ends.indexOf('cold')
  }
  const [first, clustered] = [await order(0), await order(1)]
  t.ok(first <= 5, `first come, first served: after ${first}`)
  t.ok(
    clustered >= 12 && clustered <= 4 + 16 + 4,
    `in a cluster of one adapter it is passed by, 16 times at most: after ${clustered}`,
  )
  t.equal(await order(2), first, 'there is room for both')
})
