/** Adapters brought in beside a step for those that wait: into free blocks, and on a device with copies of its own in place of what is idle. */
import t from 'tap'
import { ToyCore, toyImage, use } from '../../support/toy-core.ts'
import { toyTokens } from '../../support/toy-engine.ts'

/** One sequence runs and is the only one that may; `idle` adapters fill all but `spare` blocks of the pool. */
async function full(copiesAside: boolean, spare = 2) {
  const toy = new ToyCore({ blockCount: 14 + spare, copiesAside, maxSequences: 1, prefixCache: false })
  const images = ['a', 'b', 'c', 'wanted', 'also wanted'].map((name) => toyImage(name, 4))
  for (const image of images) toy.core.addAdapter(image)
  for (const image of images.slice(0, 3)) {
    toy.submit(`fill ${image.name}`, [1], [use(image)], { maxTokens: 1 })
    await toy.drain()
  }
  toy.native.stalls = 0
  toy.submit('runs', [1, 2, 3], [], { maxTokens: 5 })
  await toy.step()
  const names = () => toy.residents.map((one) => one.image.name)
  return { toy, images, names }
}

t.test('the next in the queue has its adapter on its way before there is a place for it', async (t) => {
  const { toy, images, names } = await full(true)
  toy.submit('next', [4, 5], [use(images[3])], { maxTokens: 3 })
  t.same(names(), ['b', 'c', 'wanted'], 'what was idle longest has left')
  toy.native.arrive()
  await toy.drain()
  t.equal(toy.core.snapshot().counters.adapterLoads, 4, 'it was copied once')
  t.equal(toy.native.stalls, 0)
  t.same(toy.tokens('next'), toyTokens([4, 5], [use(images[3])], 3))
})

t.test('where the host copies, beside a step only free blocks are used', async (t) => {
  const { toy, images, names } = await full(false)
  toy.submit('next', [4, 5], [use(images[3])], { maxTokens: 3 })
  await toy.step()
  t.same(names(), ['a', 'b', 'c'])
  await toy.drain()
  t.same(toy.tokens('next'), toyTokens([4, 5], [use(images[3])], 3))
})

t.test('nothing is put out that another in the queue will use', async (t) => {
  const { toy, images, names } = await full(true)
  toy.submit('uses a', [6], [use(images[0])], { maxTokens: 2 })
  toy.submit('cold', [4, 5], [use(images[3])], { maxTokens: 2 })
  t.same(new Set(names()), new Set(['a', 'c', 'wanted']), 'b left, though a had been idle for longer')
  toy.submit('uses c', [6], [use(images[2])], { maxTokens: 2 })
  toy.submit('too many', [4, 5], [use(images[4])], { maxTokens: 2 })
  t.same(new Set(names()), new Set(['a', 'c', 'wanted']), 'all that is there is waited for')
  await toy.drain()
  t.same(toy.tokens('cold'), toyTokens([4, 5], [use(images[3])], 2))
  t.same(toy.tokens('too many'), toyTokens([4, 5], [use(images[4])], 2))
})

t.test('who could not be admitted for want of blocks has nothing put out for it, nor has who comes behind', async (t) => {
  const { toy, images, names } = await full(true)
  // 16 blocks, one of them in use, one more kept for its owner: 14 for 4 of the adapter and 11 for the prompt are too few.
  toy.submit('large', Array(44).fill(1), [use(images[3])], { maxTokens: 2 })
  toy.submit('small', [4], [use(images[4])], { maxTokens: 2 })
  await toy.step()
  t.same(new Set(names()), new Set(['a', 'b', 'c']))
  await toy.drain()
  t.same(toy.tokens('small'), toyTokens([4], [use(images[4])], 2))
})

t.test(
  "the blocks that those before it will need count: the second's adapter is not brought in at the first's expense",
  async (t) => {
    const { toy, images, names } = await full(true)
    // 15 blocks are free or idle, and each that runs is left one. Beside the first (9) the second (5) would leave one, for two that run.
    toy.submit('first', Array(20).fill(1), [use(images[3])], { maxTokens: 2 })
    toy.submit('second', Array(4).fill(2), [use(images[4])], { maxTokens: 2 })
    t.ok(names().includes('wanted'))
    t.notOk(names().includes('also wanted'))
    await toy.drain()
    t.same(toy.tokens('second'), toyTokens(Array(4).fill(2), [use(images[4])], 2))
  },
)

t.test('a cached prefix that the next in the queue begins with is not put out for its adapter', async (t) => {
  const toy = new ToyCore({ blockCount: 12, copiesAside: true, maxSequences: 1 })
  const [x, y] = [toyImage('x', 3), toyImage('y', 4)]
  toy.core.addAdapter(x)
  toy.core.addAdapter(y)
  const stem = Array.from({ length: 13 }, (_, i) => i)
  toy.submit('leaves a prefix', stem, [use(x)], { maxTokens: 1 })
  await toy.drain()
  const resident = toy.core.pool.adapters.get(x.digest)
  if (resident) toy.core.pool.adapters.evict(resident)
  toy.submit('idle', [1], [use(y)], { maxTokens: 1 })
  await toy.drain()
  toy.submit('runs', Array(15).fill(7), [], { maxTokens: 3 })
  await toy.step()
  toy.submit('again', stem, [use(x)], { maxTokens: 3 })
  t.ok(toy.core.pool.adapters.get(x.digest))
  t.notOk(toy.core.pool.adapters.get(y.digest))
  await toy.drain()
  t.equal(toy.outputs.get('again')?.[0].cachedTokens, 12)
  t.same(toy.tokens('again'), toyTokens(stem, [use(x)], 3))
})

t.test('an adapter that the addon refuses meanwhile leaves nothing held', async (t) => {
  const { toy, images } = await full(true)
  toy.native.beforePut = () => {
    throw new RangeError('a row is out of range')
  }
  toy.submit('uses a', [6], [use(images[0])], { maxTokens: 2 })
  toy.submit('broken', [4], [use(images[3])])
  await toy.drain()
  t.match(toy.last('broken'), { finish: 'error', error: { code: 'adapter_not_loadable' } })
  t.same(toy.tokens('uses a'), toyTokens([6], [use(images[0])], 2))
})
