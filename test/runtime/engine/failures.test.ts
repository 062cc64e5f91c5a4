/** What goes wrong in one place must cost only who is guilty: adapters that cannot be brought in, steps that fail, images removed under way. */
import t from 'tap'
import { ToyCore, toyImage, use } from '../../support/toy-core.ts'
import { toyTokens } from '../../support/toy-engine.ts'

t.test('a lost device ends the engine: no part of the batch is tried again', async (t) => {
  const toy = new ToyCore({ blockCount: 32 })
  for (let i = 0; i < 5; i++) toy.submit(`${i}`, [i], [], { maxTokens: 6 })
  await toy.step()
  toy.native.beforeStep = () => {
    throw Object.assign(new Error('an illegal memory access was encountered'), { code: 'DEVICE_LOST' })
  }
  await t.rejects(toy.step(), { code: 'engine_failed', message: /the device is lost: an illegal memory access/ })
  t.equal(toy.native.steps, 2)
})

t.test('an adapter that the addon refuses fails its request alone, also while a step is in flight', async (t) => {
  const toy = new ToyCore({ blockCount: 32, maxSequences: 2 })
  const [good, broken] = [toyImage('good', 2), toyImage('broken', 2)]
  toy.core.addAdapter(good)
  toy.core.addAdapter(broken)
  toy.native.beforePut = ({ digest }) => {
    if (broken.digest.startsWith(digest.toString(16).padStart(16, '0'))) throw new RangeError('a row is out of range')
  }
  toy.submit('a', [1, 2], [use(good)], { maxTokens: 6 })
  toy.submit('b', [3, 4], [], { maxTokens: 6 })
  // Waits for a place: its adapter is tried beside the steps of the others.
  toy.submit('broken', [5], [use(broken)])
  await toy.drain()
  t.same(toy.tokens('a'), toyTokens([1, 2], [use(good)], 6))
  t.same(toy.tokens('b'), toyTokens([3, 4], [], 6))
  t.match(toy.last('broken'), { finish: 'error', error: { code: 'adapter_not_loadable', message: /a row is out of range/ } })
  t.equal(toy.core.counters.failedSteps, 0, 'no step was failed for it')
})

t.test('a step that fails keeps failing until the guilty one is alone, and leaks nothing', async (t) => {
  const toy = new ToyCore({ blockCount: 40, prefixCache: false })
  const image = toyImage('x', 2)
  toy.core.addAdapter(image)
  for (let i = 0; i < 9; i++) toy.submit(`${i}`, [i, 50], i % 2 ? [use(image)] : [], { maxTokens: 4 })
  toy.native.beforeStep = ({ sequences }) => {
    if (sequences.some(({ tokens }) => tokens.includes(7))) throw new Error('poisoned')
  }
  await toy.drain()
  t.match(toy.last('7'), { finish: 'error', error: { code: 'step_failed' } })
  const { blocks } = toy.core.snapshot()
  t.equal(blocks.free + blocks.idleAdapters, blocks.total)
  t.equal(toy.residents[0].references, 0)
})

t.test('an image that is removed while used is forgotten with its last sequence, however that ends', async (t) => {
  const toy = new ToyCore({ blockCount: 32, prefixCache: false })
  const image = toyImage('x', 2)
  toy.core.addAdapter(image)
  toy.submit('a', [1, 2, 3], [use(image)], { maxTokens: 50 })
  await toy.step()
  toy.core.removeAdapter(image.digest)
  await toy.step()
  t.equal(toy.residents.length, 1, 'it stays while it is used')
  toy.core.abort('a')
  await toy.step()
  t.equal(toy.last('a')?.finish, 'abort')
  t.equal(toy.residents.length, 0)
  t.equal(toy.core.snapshot().blocks.free, 32)
})

t.test(
  'a sequence that asked for more than the pool holds after others have shared it ends, and the engine goes on',
  async (t) => {
    const toy = new ToyCore({ blockCount: 6, blockSize: 2 })
    const image = toyImage('x', 3)
    toy.core.addAdapter(image)
    toy.submit('grows', [1, 2], [use(image)], { maxTokens: 60 })
    toy.submit('next', [3], [], { maxTokens: 4 })
    await toy.drain()
    t.equal(toy.last('grows')?.finish, 'length')
    t.same(toy.tokens('grows'), toyTokens([1, 2], [use(image)], toy.tokens('grows').length))
    t.same(toy.tokens('next'), toyTokens([3], [], 4))
  },
)
