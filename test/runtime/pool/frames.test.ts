/** Blocks that adapters share: against a simple model of who has which frame, and what leaves the pool when blocks are short. */
import t, { type Test } from 'tap'
import type { PackedAdapter } from '../../../native/types.ts'
import { BlockPool } from '../../../runtime/pool/blocks.ts'
import { Frames, type Tenant } from '../../../runtime/pool/frames.ts'
import { Pool } from '../../../runtime/pool/pool.ts'
import { Admission } from '../../../runtime/scheduler/admission.ts'
import { fits, needOf, Room } from '../../../runtime/scheduler/need.ts'
import { Sequence } from '../../../runtime/scheduler/sequence.ts'
import { greedy } from '../../support/greedy.ts'
import { seeded } from '../../support/pace.ts'
import { packed, toyImage, use } from '../../support/toy-core.ts'

const PER_BLOCK = 8
const never = () => false
const limits = { maxModelLen: 1000, maxBatchTokens: 64, maxSequences: 8, prefixCache: false, copiesAside: false }
const tenant = (): Tenant => ({ frames: [], pieces: [] })

/** A pool whose blocks have 8 frames, over a table that stores nothing. */
function world(blocks: number) {
  const put: PackedAdapter[] = []
  const table = { putAdapter: (adapter: PackedAdapter) => void put.push(adapter), adapterReady: () => true, dropAdapter() {} }
  const pool = new Pool(table, blocks, 4, 4096, undefined, 4096 / PER_BLOCK)
  const { adapters } = pool
  const load = (name: string, frames: number, whole = 0) => {
    const image = toyImage(name, whole, frames, PER_BLOCK)
    t.ok(
      adapters.load(image, pool.now, (wanted) => pool.evict(wanted)),
      `${name} has room`,
    )
    return image
  }
  const names = () => [...adapters.all()].map(({ image }) => image.name).sort()
  return { pool, adapters, load, names, put }
}

t.test('thousands of random comings and goings are what a simple model says', async (t) => {
  const { below: r } = seeded(7)
  const pool = new BlockPool(12)
  const frames = new Frames(pool, PER_BLOCK)
  /** Who is there, and whether it is in use. */
  const there = new Map<Tenant, boolean>()
  const kv: number[] = []
  const check = () => {
    const owner = new Map<number, Tenant>()
    const byBlock = new Map<number, { used: number; busy: number }>()
    for (const [one, inUse] of there)
      for (const frame of one.frames) {
        if (owner.has(frame)) throw new Error(`frame ${frame} is given twice`)
        owner.set(frame, one)
        const block = Math.floor(frame / PER_BLOCK)
        const counts = byBlock.get(block) ?? { used: 0, busy: 0 }
        byBlock.set(block, { used: counts.used + 1, busy: counts.busy + (inUse ? 1 : 0) })
      }
    if (kv.some((block) => byBlock.has(block))) throw new Error('a block is KV and cut up')
    const blocks = [...byBlock.values()]
    const busy = blocks.filter((block) => block.busy > 0)
    const expected = {
      blocks: blocks.length,
      idleBlocks: blocks.length - busy.length,
      used: owner.size,
      free: blocks.length * PER_BLOCK - owner.size,
      spare: busy.reduce((sum, block) => sum + PER_BLOCK - block.busy, 0),
      freeBlocks: pool.count - blocks.length - kv.length,
    }
    const { blocks: count, idleBlocks, used, free, spare } = frames
    const found = { blocks: count, idleBlocks, used, free, spare, freeBlocks: pool.free }
    if (JSON.stringify(found) !== JSON.stringify(expected))
      throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(expected)}`)
  }
  let full = 0
  for (let i = 0; i < 20_000; i++) {
    const [one, inUse] = [...there][r(there.size || 1)] ?? []
    switch (r(6)) {
      case 0:
      case 1: {
        const n = 1 + r(r(4) ? PER_BLOCK - 1 : 3 * PER_BLOCK)
        const plan = frames.plan(n, pool.free)
        if ((plan === undefined) !== n > frames.free + pool.free * PER_BLOCK) throw new Error('room is misjudged')
        if (!plan) {
          full++
          break
        }
        const before = pool.free + frames.idleBlocks
        const cost = frames.cost(plan)
        const comes = tenant()
        frames.enter(comes, plan)
        if (comes.frames.length !== n) throw new Error(`${comes.frames.length} of ${n} frames were given`)
        there.set(comes, false)
        if (r(2)) {
          frames.rouse(comes)
          there.set(comes, true)
          if (before - pool.free - frames.idleBlocks !== cost) throw new Error('its cost is not what it cost')
        }
        break
      }
      case 2:
        if (one && !inUse) {
          const freed = frames.freedBy([one])
          const before = pool.free
          frames.leave(one)
          there.delete(one)
          if (pool.free - before !== freed) throw new Error(`${pool.free - before} blocks are free, not ${freed}`)
        }
        break
      case 3:
      case 4:
        if (!one) break
        if (inUse) frames.rest(one)
        else frames.rouse(one)
        there.set(one, !inUse)
        break
      default:
        if (kv.length > 0 && r(2)) {
          const block = kv.pop() as number
          pool.references[block] = 0
          pool.release(block)
        } else kv.push(...(pool.allocate(1, 1, never) ?? []))
    }
    check()
  }
  t.ok(full > 100, `it was full ${full} times`)
  for (const [one, inUse] of there) {
    if (inUse) frames.rest(one)
    frames.leave(one)
  }
  there.clear()
  check()
})

t.test('part-filled blocks are filled first, the one that fits best before others, and few where none does', async (t) => {
  const { load, adapters, pool } = world(6)
  const piecesOf = ({ digest }: { digest: string }) => adapters.get(digest)?.pieces.map(({ block, count }) => [block, count])
  const a = load('a', 5)
  t.same(piecesOf(a), [[0, 5]])
  t.same(piecesOf(load('b', 6)), [
    [0, 3],
    [1, 3],
  ])
  t.same(piecesOf(load('c', 7)), [
    [1, 5],
    [2, 2],
  ])
  t.equal(adapters.frames.free, 6, 'no frame is lost but what is left of the last block')
  adapters.evict(adapters.get(a.digest)!)
  t.same(piecesOf(load('d', 2)), [[0, 2]], '5 are left of the first block, 6 of the last')
  t.same(piecesOf(load('e', 4)), [[2, 4]], '3 and 6')
  t.same(
    piecesOf(load('f', 4)),
    [
      [0, 3],
      [2, 1],
    ],
    '3 and 2, and none of a new one',
  )
  t.equal(pool.blocks.free, 3)
  t.same(
    piecesOf(load('g', 20))?.map(([, count]) => count),
    [1, 8, 8, 3],
  )
})

t.test('a block is free again with its last frame, and a refused adapter leaves nothing', async (t) => {
  const { load, adapters, pool, put } = world(4)
  const [a, b] = [load('a', 3), load('b', 3)]
  t.equal(pool.blocks.free, 3)
  t.same([...put[0].frames, ...put[1].frames].sort(), [0, 1, 2, 3, 4, 5], 'the lowest of the block')
  adapters.evict(adapters.get(a.digest)!)
  t.equal(pool.blocks.free, 3)
  t.equal(adapters.frames.free, 5)
  adapters.evict(adapters.get(b.digest)!)
  t.equal(pool.blocks.free, 4)
  t.equal(adapters.frames.free, 0)
  const refusing = new Pool(
    {
      putAdapter() {
        throw new RangeError('a row is out of range')
      },
      adapterReady: () => true,
      dropAdapter() {},
    },
    4,
    4,
    4096,
    undefined,
    512,
  )
  t.throws(() => refusing.adapters.load(toyImage('a', 1, 3, PER_BLOCK), 0, never), /out of range/)
  t.same([refusing.blocks.free, refusing.adapters.frames.used, refusing.adapters.blocks], [4, 0, 0])
})

t.test('where KV wants a block, those who share one leave together, and nobody leaves whose going frees none', async (t) => {
  const { load, names, pool, adapters } = world(4)
  load('a', 3)
  load('b', 3)
  const c = load('c', 4) // 2 beside a and b, 2 in the next
  load('d', 5)
  pool.now = 5
  adapters.acquire(c.digest, pool.now)
  t.equal(pool.available(), 2, 'c keeps both blocks')
  t.equal(pool.allocateKv(3), undefined)
  t.same(names(), ['a', 'b', 'c', 'd'], 'so nobody has left for nothing')
  t.equal(pool.allocateKv(2)?.length, 2)
  t.same(names(), ['a', 'b', 'c', 'd'])
  adapters.release(c.digest, pool.now)
  t.equal(pool.available(), 2)
  t.equal(pool.allocateKv(1)?.length, 1)
  t.same(names(), ['d'], 'all of the block that was used longest ago; c had a part in it')
  t.equal(adapters.evictions, 3)
  t.equal(pool.blocks.free, 0, 'what remains of c did not free the block that d is in')
})

t.test('the cheapest leaves: a cached prefix, an adapter of whole blocks, or those who share one', async (t) => {
  const make = (tokenMs: number, sharedUsed: number, wholeUsed: number) => {
    const { load, names, pool } = world(4)
    pool.tokenMs = tokenMs
    pool.now = sharedUsed
    load('shared 1', 4)
    load('shared 2', 4)
    pool.now = wholeUsed
    load('whole', 0, 2)
    const [block] = pool.allocateKv(1) as number[]
    pool.prefixes.register(block, 'h', '')
    pool.prefixes.release(block, 9)
    pool.now = 10
    pool.evict('block')
    return pool.prefixes.find('h') === undefined ? 'prefix' : names().join(' ')
  }
  t.equal(make(1e-9, 1, 1), 'prefix')
  t.equal(make(1, 1, 8), 'whole', 'both who share went')
  t.equal(make(1, 8, 1), 'shared 1 shared 2')
})

t.test('what is kept stays with the block that it is in; for frames alone one goes at a time', async (t) => {
  const { load, names, pool } = world(2)
  const a = load('a', 4)
  load('b', 4)
  load('c', 4)
  const kept = { adapters: new Set([a.digest]), prefixes: new Set<number>() }
  t.ok(pool.evict('frames', kept))
  t.same(names(), ['a', 'c'])
  t.ok(pool.evict('block', kept))
  t.same(names(), ['a'])
  t.notOk(pool.evict('block', kept))
  t.notOk(pool.evict('frames', kept))
})

t.test('an allocation that could keep a block from others does not, where something idle can go in its place', async (t) => {
  const { load, names, pool, adapters } = world(3)
  const used = load('used', 3)
  adapters.acquire(used.digest, 0)
  load('idle beside it', 5)
  load('idle alone', 2)
  t.equal(pool.available(), 2)
  const comes = toyImage('comes', 0, 4, PER_BLOCK)
  // Beside the other idle one it would fit at once, and a block that two others have been promised would be in use.
  t.ok(
    adapters.load(
      comes,
      0,
      (wanted) => pool.evict(wanted),
      () => pool.available() - 2,
    ),
  )
  adapters.acquire(comes.digest, 0)
  t.equal(pool.available(), 2)
  t.same(names(), ['comes', 'idle alone', 'used'])
  t.equal(pool.allocateKv(2)?.length, 2)
  t.same(names(), ['comes', 'used'])
})

/** Admission's arithmetic, against what the pool then gives. */
function promised(t: Test, seed: number): void {
  const { below: r } = seeded(seed)
  const { pool, adapters } = world(4 + r(8))
  const images = Array.from({ length: 14 }, (_, i) => toyImage(`a${i}`, r(5) ? 0 : 1 + r(2), r(6) ? 1 + r(7) : 0, PER_BLOCK))
  const byDigest = new Map(images.map((image) => [image.digest, image]))
  const admission = new Admission(pool, limits, byDigest)
  const running: Sequence[] = []
  let fitted = 0
  for (let i = 0; i < 60; i++) {
    pool.now++
    while (running.length > r(4)) admission.leave(running.splice(r(running.length), 1)[0])
    const image = images[r(images.length)]
    if (r(2)) adapters.load(image, pool.now, (wanted) => r(2) > 0 && pool.evict(wanted))
    const chosen = [images[r(images.length)], images[r(images.length)], images[r(images.length)]].slice(0, 1 + r(3))
    const uses = [...new Set(chosen)].map((one) => use(one))
    const promptIds = Array.from({ length: 1 + r(30) }, () => 1)
    const sequence = new Sequence(packed({ id: 'x', promptIds, adapters: uses, arrival: 0, sampling: greedy(4) }), 0n, 0)
    const claimed = r(3)
    const need = needOf(sequence, pool, byDigest, false)
    if (!fits(need, new Room(pool, claimed))) continue
    fitted++
    const before = pool.available()
    admission.take(sequence, need, 1 + r(30), claimed)
    const left = need.tokenBlocks + need.prefix.length - sequence.blocks.length
    const others = pool.allocateKv(claimed + left)
    if (!others)
      throw new Error(
        `${seed}: of ${before} blocks ${claimed} were claimed and ${left} are to come, ${pool.available()} are there`,
      )
    for (const block of others) pool.prefixes.release(block, pool.now)
    running.push(sequence)
  }
  t.ok(fitted > 0)
}

t.test('whatever fits is there when it is taken, and so is what others were promised', async (t) => {
  for (let seed = 1; seed <= 1000; seed++) promised(t, seed)
})
