/** A look at the pool tells what the pool holds, and looks after one another tell the same as one of all. */
import t from 'tap'
import { BLOCK_STATES, changes, LOAD_FIELDS, PoolMap, STATE_BITS } from '../../../runtime/engine/pool-map.ts'
import type { PoolLook } from '../../../runtime/index.ts'
import { ToyCore, toyImage, use } from '../../support/toy-core.ts'

/** What a page makes of looks. */
class Seen {
  readonly values: Uint32Array
  adapters = new Map<number, string>()
  groups = new Map<number, string>()
  loads: Record<string, number>[] = []

  constructor(count: number) {
    this.values = new Uint32Array(count)
  }

  take({ whole, blocks, adapters, gone, groups, loads }: PoolLook): void {
    if (whole) this.values.fill(0)
    if (whole) this.adapters = new Map()
    for (let at = 0; at < blocks.length; at += 2 + blocks[at + 1])
      this.values.set(blocks.subarray(at + 2, at + 2 + blocks[at + 1]), blocks[at])
    for (const index of gone) this.adapters.delete(index)
    for (const { index, name } of adapters) this.adapters.set(index, name)
    for (const { id, adapters, flow } of groups) this.groups.set(id, `${adapters.map(({ name }) => name).join('+')}|${flow}`)
    this.loads = []
    for (let at = 0; at < loads.length; at += LOAD_FIELDS.length)
      this.loads.push(Object.fromEntries(LOAD_FIELDS.map((field, i) => [field, loads[at + i]])))
  }

  /** Blocks by state and who has them. */
  sums(): Record<string, number> {
    const sums: Record<string, number> = {}
    for (const value of this.values) {
      const state = BLOCK_STATES[value & ((1 << STATE_BITS) - 1)]
      const owner = value >>> STATE_BITS
      const who = state.includes('adapter') ? this.adapters.get(owner) : state === 'sequence' ? this.groups.get(owner) : undefined
      const name = who === undefined ? state : `${state} of ${who}`
      sums[name] = (sums[name] ?? 0) + 1
    }
    return sums
  }
}

t.test('changes: runs, joined over small gaps, that make one of the other', async (t) => {
  const before = Uint32Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  const after = Uint32Array.from([0, 5, 0, 6, 0, 0, 0, 0, 0, 9])
  t.same([...changes(before, after)], [1, 3, 5, 0, 6, 9, 1, 9])
  t.same([...changes(after, after)], [])
  let seed = 7
  const random = (n: number) => {
    seed = (seed * 48271) % 2147483647
    return seed % n
  }
  for (let round = 0; round < 300; round++) {
    const a = Uint32Array.from({ length: 1 + random(60) }, () => random(3))
    const b = a.map((value) => (random(4) === 0 ? random(3) : value))
    const runs = changes(a, b)
    for (let at = 0; at < runs.length; at += 2 + runs[at + 1]) a.set(runs.subarray(at + 2, at + 2 + runs[at + 1]), runs[at])
    t.same(a, b)
  }
})

t.test('a pool in use', async (t) => {
  const toy = new ToyCore({ blockCount: 40, blockSize: 4, maxSequences: 2, maxModelLen: 40 })
  const map = new PoolMap(toy.core.scheduler, toy.core.pool)
  const seen = new Seen(40)
  const images = { fox: toyImage('fox', 3), duck: toyImage('duck', 2) }
  for (const image of Object.values(images)) toy.core.addAdapter(image)
  seen.take(map.look(true))
  t.same(seen.sums(), { free: 40 })
  const prompt = [1, 2, 3, 4, 5, 6, 7, 8, 9]
  toy.submit('a', prompt, [use(images.fox)], { maxTokens: 4 }, { flow: 'acme' })
  toy.submit('b', prompt, [use(images.fox, 0.5)], { maxTokens: 4 }, { tenant: 'umbrella' })
  toy.submit('c', prompt, [], { maxTokens: 4 })
  await toy.step()
  seen.take(map.look(false))
  t.same(seen.sums(), { 'adapter of fox': 3, 'sequence of fox|acme': 3, 'sequence of fox|umbrella': 3, free: 31 })
  t.match(
    seen.loads.map((load) => ({ ...load, name: seen.groups.get(load.id) })),
    [
      { name: 'fox|acme', running: 1, waiting: 0, promptTokensLeft: 0, blocks: 3 },
      { name: 'fox|umbrella', running: 1, waiting: 0, blocks: 3 },
      { name: '|', running: 0, waiting: 1, promptTokensLeft: 9, blocks: 0 },
    ],
  )
  const nothing = map.look(false)
  t.same([nothing.blocks.length, nothing.adapters.length, nothing.groups.length], [0, 0, 0], 'nothing has changed')
  await toy.drain()
  toy.submit('d', prompt, [use(images.duck)], { maxTokens: 6 })
  toy.submit('e', prompt.concat([1, 2]), [], { maxTokens: 6 })
  await toy.step()
  toy.submit('f', prompt.concat([3]), [], { maxTokens: 6 })
  toy.core.abort('d')
  await toy.step()
  seen.take(map.look(false))
  const anew = new Seen(40)
  anew.groups = seen.groups
  const all = new PoolMap(toy.core.scheduler, toy.core.pool)
  anew.take(all.look(true))
  const states = (values: Uint32Array) => [...values].map((value) => value & ((1 << STATE_BITS) - 1))
  t.same(states(seen.values), states(anew.values), 'told bit by bit or all at once')
  t.equal(seen.sums()['idle adapter of fox'], 3)
  t.equal(seen.sums()['idle adapter of duck'], 2)
  t.ok(seen.sums().shared >= 2, 'two use the first blocks of the prompt')
  t.ok(seen.sums().prefix > 0)
  await toy.drain()
  toy.core.removeAdapter(images.fox.digest)
  toy.core.removeAdapter(images.duck.digest)
  seen.take(map.look(false))
  t.same(Object.keys(seen.sums()).sort(), ['free', 'prefix'])
  t.same(seen.loads, [])
  seen.take(map.look(true))
  t.equal(seen.adapters.size, 0)
})

t.test('blocks that are cut into frames', async (t) => {
  const toy = new ToyCore({ blockCount: 20, blockSize: 4, framesPerBlock: 4 })
  const map = new PoolMap(toy.core.scheduler, toy.core.pool)
  const seen = new Seen(20)
  const images = ['fox', 'duck'].map((name) => toyImage(name, 0, 1, 4))
  for (const image of images) {
    toy.core.addAdapter(image)
    toy.submit(image.name, [1, 2], [use(image)], { maxTokens: 2 })
  }
  await toy.step()
  const look = map.look(true)
  seen.take(look)
  t.equal(seen.sums().framed, 1, 'both lie in one')
  const [block] = [...seen.values].flatMap((value, i) => (BLOCK_STATES[value & 15] === 'framed' ? [i] : []))
  t.equal(seen.values[block] >>> STATE_BITS, 2, 'two frames are taken')
  t.same(
    look.adapters.map(({ name, blocks, shared }) => ({ name, blocks, shared })),
    ['fox', 'duck'].map((name) => ({ name, blocks: 0, shared: [[block, 1]] })),
  )
  await toy.drain()
  seen.take(map.look(false))
  t.equal(seen.sums()['idle framed'], 1)
  toy.core.removeAdapter(images[0].digest)
  const gone = map.look(false)
  t.same(gone.gone.length, 1)
  seen.take(gone)
  t.equal(seen.values[block] >>> STATE_BITS, 1)
})
