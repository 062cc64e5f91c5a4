/** What leaves the pool: the pure policy, what it is made of, and what follows for adapters and prefixes together. */
import t from 'tap'
import { loss, used } from '../../../runtime/pool/eviction.ts'
import { Odds } from '../../../runtime/pool/odds.ts'
import { COPY_RATE, Pool } from '../../../runtime/pool/pool.ts'
import { Shelves } from '../../../runtime/pool/shelves.ts'
import { Remembered, Turnover } from '../../../runtime/pool/turnover.ts'
import type { AdapterImage } from '../../../runtime/types.ts'
import { seeded } from '../../support/pace.ts'
import { toyImage } from '../../support/toy-core.ts'

const clock = { now: 10, halfLife: 8 }

t.test('what is long unused, seldom used, seldom wanted again or cheap to bring back is worth less', async (t) => {
  const of = ({ weight = 1, lastUsed = 5, restoreMs = 5, odds = 1 }) => loss({ weight, lastUsed }, odds, restoreMs, 10)
  const one = of({})
  t.ok(of({ lastUsed: 1 }) < one, 'longer unused')
  t.ok(of({ weight: 3 }) > one, 'used more often')
  t.ok(of({ odds: 0.1 }) < one, 'its like were seldom wanted again')
  t.ok(of({ restoreMs: 1 }) < one, 'cheaper')
  t.ok(of({ weight: 8, lastUsed: 1 }) > one, 'much used outweighs long unused')
  t.ok(Number.isFinite(of({ lastUsed: 11 })), 'a clock that is behind')
})

t.test('a use counts half after the half-life', async (t) => {
  t.same(used(undefined, 2, clock), { weight: 2, lastUsed: 10 })
  t.same(used({ weight: 4, lastUsed: 2 }, 1, clock), { weight: 3, lastUsed: 10 })
  t.same(used({ weight: 4, lastUsed: 2 }, 1, { now: 10, halfLife: Number.POSITIVE_INFINITY }), { weight: 5, lastUsed: 10 })
})

t.test('the half-life follows the speed at which the pool is turned over', async (t) => {
  const [slow, fast] = [1000, 10].map((steps) => {
    const turnover = new Turnover(100)
    t.equal(turnover.halfLife, Number.POSITIVE_INFINITY, 'nothing is known')
    for (let i = 1; i <= 1000; i++) turnover.evicted(1, (i * steps) / 100)
    return turnover.halfLife
  })
  t.ok(Math.abs(slow / fast - 100) < 1, `${slow} and ${fast} steps`)
})

t.test('only so many that left are remembered, and what comes back is no longer among them', async (t) => {
  const remembered = new Remembered(2)
  for (const [i, key] of ['a', 'b', 'c', 'b'].entries()) remembered.note(key, { weight: i, lastUsed: i })
  t.equal(remembered.take('a'), undefined)
  t.same(remembered.take('b'), { weight: 3, lastUsed: 3 })
  t.equal(remembered.take('b'), undefined)
  t.same(remembered.take('c'), { weight: 2, lastUsed: 2 })
})

t.test('odds are learned for each count of uses', async (t) => {
  const odds = new Odds()
  const [once, often] = [
    { weight: 1, lastUsed: 0 },
    { weight: 9, lastUsed: 0 },
  ]
  const before = odds.of(once)
  for (let i = 0; i < 100_000; i++) {
    odds.leaves(once)
    odds.returned(often)
  }
  t.ok(odds.of(once) < before / 50)
  t.ok(odds.of(once) > 0, 'never nothing')
  t.equal(odds.of(often), before)
  for (let i = 0; i < 3000; i++) odds.returned(once)
  t.ok(odds.of(once) > 0.5, 'and learned anew')
})

t.test('the fronts of the shelves are what a search of all finds', async (t) => {
  const { below } = seeded(3)
  const shelves = new Shelves<number>()
  const there = new Map<number, { weight: number; lastUsed: number }>()
  for (let i = 0; i < 5000; i++) {
    const at = below(200)
    if (below(3)) {
      const usage = { weight: 2 ** below(4), lastUsed: i }
      there.set(at, usage)
      shelves.put(at, usage)
    } else {
      there.delete(at)
      shelves.remove(at)
    }
    const kept = new Set(Array.from({ length: 40 }, () => below(200)))
    const oldest = new Map<number, { item: number; lastUsed: number }>()
    for (const [item, { weight, lastUsed }] of there)
      if (!kept.has(item) && lastUsed < (oldest.get(weight)?.lastUsed ?? Number.POSITIVE_INFINITY))
        oldest.set(weight, { item, lastUsed })
    const expected = [...oldest].sort(([a], [b]) => a - b).map(([, { item }]) => item)
    const found = [...shelves.fronts((item) => kept.has(item))]
    if (found.join() !== expected.join() || shelves.size !== there.size) return t.same(found, expected)
  }
  t.pass()
})

/** A pool of an engine that computes nothing: requests take what they need, hold it for a step and go. */
class World {
  readonly pool: Pool
  private made = 0

  constructor(blocks: number, tokenMs = 1) {
    // A block is copied in 1 ms, and its 16 tokens computed in 16.
    const table = { putAdapter() {}, adapterReady: () => true, dropAdapter() {} }
    this.pool = new Pool(table, blocks, 16, COPY_RATE.host)
    this.pool.tokenMs = tokenMs
  }

  /** With the blocks of that name, of its adapter if it has one. */
  request(name: string, length: number, image?: AdapterImage): void {
    const { pool } = this
    const { adapters, prefixes } = pool
    pool.now++
    if (image) {
      t.ok(adapters.load(image, pool.now, pool.evict))
      adapters.acquire(image.digest, pool.now)
    }
    const blocks: number[] = []
    for (let i = 0; i < length; i++) {
      const found = prefixes.find(`${name}.${i}`)
      if (found === undefined) break
      prefixes.acquire(found)
      blocks.push(found)
    }
    for (let i = blocks.length; i < length; i++) {
      const [block] = pool.allocateKv(1) as number[]
      prefixes.register(block, `${name}.${i}`, image ? `${image.digest}:1` : '', i > 0 ? `${name}.${i - 1}` : undefined)
      blocks.push(block)
    }
    for (const block of blocks.reverse()) prefixes.release(block, pool.now)
    if (image) adapters.release(image.digest, pool.now)
  }

  once(length: number, image?: AdapterImage): void {
    this.request(`once ${this.made++}`, length, image)
  }

  cached(name: string): number {
    let length = 0
    while (this.pool.prefixes.find(`${name}.${length}`) !== undefined) length++
    return length
  }

  has = ({ digest }: AdapterImage) => this.pool.adapters.get(digest) !== undefined
}

t.test(
  'prompts that nobody sends again flush neither an adapter in demand nor the prefix that its requests begin with',
  async (t) => {
    // Adapter and prefix cost as much to bring back for what they take.
    const world = new World(100, 1 / 16)
    const hot = toyImage('hot', 10)
    for (let i = 0; i < 40; i++) {
      world.request('system', 10, hot)
      world.once(5, hot)
    }
    for (let i = 0; i < 300; i++) world.once(4)
    t.ok(world.has(hot), 'twelve times the pool went by')
    t.equal(world.cached('system'), 10)
    t.equal(world.cached('once 0'), 0)
  },
)

t.test('an adapter whose prefixes are in demand outlives one that was used later', async (t) => {
  const world = new World(60)
  const [hot, cold] = [toyImage('hot', 10), toyImage('cold', 10)]
  for (let i = 0; i < 5; i++) for (const name of ['a', 'b', 'c']) world.request(name, 4, hot)
  world.once(2, cold)
  while (world.has(cold) && world.has(hot)) world.once(4)
  t.ok(world.has(hot))
})

t.test('the cheapest to bring back leaves first of what was used alike', async (t) => {
  for (const [tokenMs, stays] of [
    [1, 'prefix'],
    [0.001, 'adapter'],
  ] as const) {
    const world = new World(20, tokenMs)
    const image = toyImage('x', 8)
    world.request('prompt', 8, image)
    world.pool.now++
    while (world.pool.blocks.free < 12) world.pool.evict('block')
    t.equal(world.has(image), stays === 'adapter')
    t.equal(world.cached('prompt'), stays === 'prefix' ? 8 : 0)
  }
})

t.test('everything that is idle can leave, whatever is kept besides, and the end of a chain before its beginning', async (t) => {
  for (let seed = 1; seed <= 50; seed++) {
    const { below, pick } = seeded(seed)
    const world = new World(40)
    const { pool } = world
    const images = Array.from({ length: 5 }, (_, i) => toyImage(`a${i}`, 1 + i))
    for (let i = 0; i < 60; i++) world.request(`p${below(12)}`, 1 + below(6), below(3) ? pick(images) : undefined)
    const name = `p${below(12)}`
    const kept = { adapters: new Set([images[below(5)].digest]), prefixes: new Set<number>() }
    for (let i = 0; i < world.cached(name); i++) kept.prefixes.add(pool.prefixes.find(`${name}.${i}`) as number)
    const stays = kept.prefixes.size + (pool.adapters.get([...kept.adapters][0])?.blocks.length ?? 0)
    const before = world.cached(name)
    while (pool.evict('block', kept))
      for (let p = 0; p < 12; p++) {
        // A block that is there without the one before it could never be found.
        for (let i = world.cached(`p${p}`); i < 8; i++)
          if (pool.prefixes.find(`p${p}.${i}`) !== undefined) t.fail(`seed ${seed}: p${p}.${i} is there alone`)
      }
    t.equal(pool.blocks.free, pool.blocks.count - stays, `seed ${seed}`)
    t.equal(world.cached(name), before)
    while (pool.evict('block'));
    t.equal(pool.blocks.free, pool.blocks.count)
  }
})

t.test('the same requests put the same things out', async (t) => {
  const [one, other] = [1, 2].map(() => {
    const { below, pick } = seeded(9)
    const world = new World(40)
    const images = Array.from({ length: 8 }, (_, i) => toyImage(`a${i}`, 1 + (i % 4)))
    for (let i = 0; i < 500; i++) world.request(`p${below(20)}`, 1 + below(8), pick(images))
    const { pool } = world
    return [
      pool.prefixEvictions,
      pool.adapters.evictions,
      ...images.map(world.has),
      ...Array.from({ length: 20 }, (_, i) => world.cached(`p${i}`)),
    ]
  })
  t.same(one, other)
  t.ok((one[0] as number) > 100)
})
