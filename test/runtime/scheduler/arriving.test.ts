/** Adapters whose bytes are on their way to the device: who waits for them, who does not, and what is held meanwhile. */
import t from 'tap'
import { HELD_AT_ONCE, HOLD_LIMIT } from '../../../runtime/scheduler/arrivals.ts'
import { ToyCore, type ToySettings, toyImage, use } from '../../support/toy-core.ts'
import { toyTokens } from '../../support/toy-engine.ts'

/** A core whose copies arrive when the test says so, with adapters of two blocks, and one sequence that has got its first token. */
async function busy(adapters: string[], settings: Partial<ToySettings> = {}) {
  const toy = new ToyCore({ blockCount: 64, copiesAside: true, ...settings })
  const images = adapters.map((name) => toyImage(name, 2))
  for (const image of images) toy.core.addAdapter(image)
  toy.submit('busy', [1, 2, 3], [], { maxTokens: 60 })
  await toy.step()
  return { toy, images }
}

const held = (toy: ToyCore) => toy.core.scheduler.running.filter((one) => one.heldFor !== undefined).map((one) => one.request.id)
const steps = async (toy: ToyCore, count: number) => {
  for (let i = 0; i < count; i++) await toy.step()
}

t.test('a request is held back while the others compute, and goes on once its adapter has arrived', async (t) => {
  const { toy, images } = await busy(['x'])
  toy.submit('cold', [4, 5], [use(images[0])])
  await steps(toy, 3)
  t.equal(toy.tokens('busy').length, 4, 'the other has lost no step')
  t.same(held(toy), ['cold'])
  t.equal(toy.last('cold'), undefined)
  t.match(toy.core.snapshot(), { running: 1, waiting: 1 }, 'it is told as waiting')
  t.equal(toy.core.pool.adapters.takeChanges(), undefined, 'its adapter is not told as resident')
  toy.native.arrive()
  await toy.step()
  t.equal(toy.tokens('cold').length, 1)
  await toy.drain()
  t.same(toy.tokens('cold'), toyTokens([4, 5], [use(images[0])], 8))
  t.equal(toy.native.stalls, 0, 'no step waited for a copy')
})

t.test('the time until it is scheduled counts what it was held back', async (t) => {
  const { toy, images } = await busy(['x'])
  toy.submit('cold', [4, 5], [use(images[0])])
  await toy.step()
  const [, sequence] = toy.core.scheduler.running
  t.equal(sequence.request.id, 'cold')
  t.equal(sequence.scheduledAt, undefined)
  toy.native.arrive()
  await toy.step()
  t.type(sequence.scheduledAt, 'number')
})

t.test('those behind it are admitted meanwhile', async (t) => {
  const { toy, images } = await busy(['warm', 'cold'])
  toy.submit('before', [6], [use(images[0])], { maxTokens: 1 })
  toy.native.arrive()
  await toy.step()
  toy.submit('cold', [4, 5], [use(images[1])])
  toy.submit('base', [7])
  toy.submit('warm', [8], [use(images[0])])
  await toy.step()
  t.same(held(toy), ['cold'])
  t.same([toy.tokens('base').length, toy.tokens('warm').length], [1, 1])
})

t.test('it keeps its place: those admitted meanwhile do not take it', async (t) => {
  const { toy, images } = await busy(['x'], { maxSequences: 3 })
  toy.submit('cold', [4, 5], [use(images[0])])
  for (let i = 0; i < 4; i++) toy.submit(`${i}`, [i], [], { maxTokens: 60 })
  await toy.step()
  t.same(
    toy.core.scheduler.running.map((one) => one.request.id),
    ['busy', 'cold', '0'],
  )
  toy.native.arrive()
  await toy.step()
  t.equal(toy.tokens('cold').length, 1)
})

t.test('a copy that never seems to end holds a request back for a number of steps and no longer', async (t) => {
  const { toy, images } = await busy(['x'])
  toy.submit('cold', [4, 5], [use(images[0])])
  await steps(toy, HOLD_LIMIT)
  t.equal(toy.tokens('cold').length, 0)
  t.equal(toy.native.stalls, 0)
  await toy.step()
  t.equal(toy.tokens('cold').length, 1, 'the device waited for it')
  t.equal(toy.native.stalls, 1)
})

t.test('a mix goes on when the last of its adapters has arrived', async (t) => {
  const { toy, images } = await busy(['x', 'y'])
  const mix = [use(images[0], 0.5), use(images[1], 2)]
  toy.submit('mix', [4, 5], mix)
  await toy.step()
  t.equal(toy.native.copying?.length, 2)
  toy.native.arrive(1)
  await toy.step()
  t.same(held(toy), ['mix'])
  toy.native.arrive(1)
  await toy.drain()
  t.same(toy.tokens('mix'), toyTokens([4, 5], mix, 8))
  t.equal(toy.native.stalls, 0)
})

t.test('with nothing else to compute the device waits at once, for the first and who waits for nothing later', async (t) => {
  const toy = new ToyCore({ blockCount: 64, copiesAside: true })
  const images = ['x', 'y', 'z'].map((name) => toyImage(name, 2))
  for (const image of images) toy.core.addAdapter(image)
  toy.submit('first', [1], [use(images[0])])
  toy.submit('second', [2], [use(images[1])])
  toy.submit('mix', [3], [use(images[0]), use(images[2])])
  toy.submit('same as the first', [4], [use(images[0])])
  await toy.step()
  t.same(
    ['first', 'second', 'mix', 'same as the first'].map((id) => toy.tokens(id).length),
    [1, 0, 0, 1],
  )
  t.equal(toy.native.stalls, 1)
  t.same(held(toy), ['second', 'mix'])
  toy.native.arrive(1)
  await toy.step()
  t.equal(toy.tokens('second').length, 1)
  toy.native.arrive()
  await toy.drain()
  t.same(toy.tokens('mix'), toyTokens([3], [use(images[0]), use(images[2])], 8))
})

t.test('aborted while it is held back, it gives everything back', async (t) => {
  const { toy, images } = await busy(['x'], { blockSize: 8, prefixCache: false })
  const { free } = toy.core.snapshot().blocks
  toy.submit('cold', [4, 5, 6, 7, 8, 9, 10, 11, 12], [use(images[0])])
  await toy.step()
  t.equal(toy.core.snapshot().blocks.free, free - 4, 'two blocks for its tokens, two for its adapter')
  toy.core.abort('cold')
  await toy.step()
  t.equal(toy.last('cold')?.finish, 'abort')
  const { blocks } = toy.core.snapshot()
  t.equal(blocks.free, free - 2)
  t.same([toy.residents[0].references, blocks.idleAdapters], [0, 2], 'its adapter is idle')
})

t.test('an adapter that is removed on its way goes when its last request has ended, and its blocks serve others', async (t) => {
  const { toy, images } = await busy(['x'], { blockCount: 12, prefixCache: false })
  toy.submit('cold', [4, 5], [use(images[0])])
  await toy.step()
  toy.core.removeAdapter(images[0].digest)
  await toy.step()
  t.equal(toy.residents.length, 1)
  t.ok(toy.native.pinned.has(images[0].image))
  toy.core.abort('cold')
  await toy.step()
  t.equal(toy.residents.length, 0)
  t.notOk(toy.native.pinned.has(images[0].image))
  t.same(toy.native.copying, [])
  const long = Array.from({ length: 24 }, (_, i) => i)
  toy.submit('long', long, [], { maxTokens: 4 })
  await toy.drain()
  t.same(toy.tokens('long'), toyTokens(long, [], 4))
})

t.test('nothing that is held back is put out', async (t) => {
  const { toy, images } = await busy(['x'])
  toy.submit('cold', [4, 5], [use(images[0])])
  await toy.step()
  while (toy.core.pool.evict('block'));
  t.ok(toy.core.pool.adapters.get(images[0].digest))
})

t.test('only so many are held back at once; one that has its adapter passes the rest', async (t) => {
  const { toy, images } = await busy(['warm', ...Array.from({ length: 20 }, (_, i) => `cold ${i}`)])
  toy.submit('before', [6], [use(images[0])], { maxTokens: 1 })
  toy.native.arrive()
  await toy.step()
  for (let i = 1; i <= 20; i++) toy.submit(`cold ${i}`, [i], [use(images[i])], { maxTokens: 2 })
  toy.submit('warm', [6], [use(images[0])], { maxTokens: 2 })
  await toy.step()
  t.equal(held(toy).length, HELD_AT_ONCE)
  t.equal(toy.tokens('warm').length, 1)
  while (!toy.core.idle) {
    toy.native.arrive(2)
    await toy.step()
    t.ok(held(toy).length <= HELD_AT_ONCE)
  }
  for (let i = 1; i <= 20; i++) t.same(toy.tokens(`cold ${i}`), toyTokens([i], [use(images[i])], 2))
  t.equal(toy.native.stalls, 0)
})

t.test('when the others are put back for want of blocks, the device waits for the one that was held back', async (t) => {
  const toy = new ToyCore({ blockCount: 6, blockSize: 2, prefixCache: false, copiesAside: true })
  const image = toyImage('x', 2)
  toy.core.addAdapter(image)
  toy.submit('busy', [1, 2, 3], [], { maxTokens: 8 }, { arrival: 9 })
  await toy.step()
  // It goes ahead: it came first, and was long in coming.
  toy.submit('cold', [4, 5], [use(image)], { maxTokens: 3 }, { arrival: 1 })
  while (toy.core.scheduler.preemptions === 0) await toy.step()
  t.equal(toy.native.stalls, 1, 'in the step that put the other back')
  t.equal(toy.tokens('cold').length, 1)
  await toy.drain()
  t.same(toy.tokens('busy'), toyTokens([1, 2, 3], [], 8))
})

t.test('one that is held back is preempted like any other when blocks are short, and comes again', async (t) => {
  const { toy, images } = await busy(['x'], { blockCount: 6, blockSize: 2, prefixCache: false })
  toy.submit('cold', [4, 5], [use(images[0])], { maxTokens: 3 })
  await toy.step()
  t.same(held(toy), ['cold'])
  while (held(toy).length) await toy.step()
  t.equal(toy.core.scheduler.preemptions, 1)
  t.equal(toy.core.scheduler.waiting.length, 1)
  await toy.drain()
  t.same(toy.tokens('cold'), toyTokens([4, 5], [use(images[0])], 3))
})

for (const count of [2, 4])
  t.test(`${count} long prompts whose adapters are on their way are not admitted into the same room`, async (t) => {
    // 20 blocks of 4 and prompts of 12 blocks in steps of 8 tokens: held back they took none of the budget, and all came in beside each other.
    for (const copiesAside of [false, true]) {
      const toy = new ToyCore({ blockCount: 24, blockSize: 4, maxBatchTokens: 8, prefixCache: false, copiesAside })
      const image = toyImage('x', 4)
      toy.core.addAdapter(image)
      const prompts = Array.from({ length: count }, (_, i) => Array.from({ length: 48 }, (_, k) => (i * 7 + k) % 90))
      for (const [i, prompt] of prompts.entries()) toy.submit(`${i}`, prompt, [use(image)], { maxTokens: 4 })
      await toy.step()
      t.equal(toy.core.scheduler.running.length, 1)
      toy.native.arrive()
      await toy.drain()
      t.equal(toy.core.scheduler.preemptions, 0)
      for (const [i, prompt] of prompts.entries()) t.same(toy.tokens(`${i}`), toyTokens(prompt, [use(image)], 4))
    }
  })

t.test('one that is held back keeps the room for all of its prompt, however many come meanwhile', async (t) => {
  const { toy, images } = await busy(['x'], { blockCount: 30, blockSize: 4, maxBatchTokens: 8, prefixCache: false })
  const prompt = Array.from({ length: 60 }, (_, i) => i)
  toy.submit('cold', prompt, [use(images[0])], { maxTokens: 1 })
  for (let i = 0; i < 12; i++) toy.submit(`${i}`, [i, 1, 2, 3, 4], [], { maxTokens: 3 })
  await steps(toy, 5)
  t.same(held(toy), ['cold'])
  toy.native.arrive()
  while (!toy.last('cold')?.finish) await toy.step()
  t.equal(toy.core.scheduler.preemptions, 0)
  t.same(toy.tokens('cold'), toyTokens(prompt, [use(images[0])], 1))
})
