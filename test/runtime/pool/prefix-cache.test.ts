/** Cached prefixes: what may be found by whom, and in which order blocks leave. */
import t from 'tap'
import { BlockPool, KV } from '../../../runtime/pool/blocks.ts'
import { blockHash, PrefixCache, rootHash } from '../../../runtime/pool/prefix-cache.ts'
import { Sequence } from '../../../runtime/scheduler/sequence.ts'
import type { AdapterUse } from '../../../runtime/types.ts'

function filled(count: number) {
  const pool = new BlockPool(count)
  const cache = new PrefixCache(pool)
  const blocks = pool.allocate(count, KV, () => false) as number[]
  return { pool, cache, blocks }
}

function sequence(promptIds: number[], adapters: AdapterUse[] = [], cacheSalt?: string): Sequence {
  const request = { id: 'a', promptIds: Int32Array.from(promptIds), adapters, cacheSalt, arrival: 0 }
  return new Sequence({ ...request, sampling: { promptLogprobs: -1 }, lists: {} } as never, 0n, 0)
}

t.test('a hash says everything that the block depends on', (t) => {
  const x = { name: 'x', digest: 'aa', weight: 1 }
  const y = { name: 'y', digest: 'bb', weight: 0.5 }
  const hash = (s: Sequence, i = 1) => s.hash(i, 2)
  const base = hash(sequence([1, 2, 3, 4]))
  t.equal(hash(sequence([1, 2, 3, 4, 99])), base, 'what comes later does not matter')
  for (const [what, other] of Object.entries({
    'tokens of the block': sequence([1, 2, 3, 5]),
    'tokens before it': sequence([1, 9, 3, 4]),
    'its place in the chain': sequence([1, 2, 1, 2, 3, 4]),
    'an adapter': sequence([1, 2, 3, 4], [x]),
    'a salt': sequence([1, 2, 3, 4], [], 'tenant'),
    'an empty salt': sequence([1, 2, 3, 4], [], ''),
  }))
    t.not(hash(other), base, what)
  t.not(hash(sequence([1, 2, 3, 4], [x])), hash(sequence([1, 2, 3, 4], [{ ...x, weight: 2 }])), 'the weight')
  t.not(hash(sequence([1, 2, 3, 4], [x])), hash(sequence([1, 2, 3, 4], [{ ...x, digest: 'ab' }])), 'the content')
  t.equal(hash(sequence([1, 2, 3, 4], [x])), hash(sequence([1, 2, 3, 4], [{ ...x, name: 'another name' }])), 'not the name')
  t.equal(hash(sequence([1, 2, 3, 4], [x, y])), hash(sequence([1, 2, 3, 4], [y, x])), 'nor the order of a mix')
  t.not(rootHash('a', 'b'), rootHash('a,b', undefined))
  t.not(rootHash('a', 'b'), rootHash('a', undefined, 'b'), "a salt is no tenant's name")
  t.not(rootHash('a', 'b', 'c'), rootHash('a', 'b', 'd'))
  t.equal(rootHash('a', 'b', 'c'), rootHash('a', 'b', 'c'))
  t.not(blockHash('p', [1, 2], 0, 2), blockHash('p', [2, 1], 0, 2))
  t.end()
})

t.test('a block is shared while referenced, cached when idle, free when evicted', (t) => {
  const { pool, cache, blocks } = filled(2)
  cache.register(blocks[0], 'h', 'key')
  cache.acquire(blocks[0])
  t.equal(pool.references[blocks[0]], 2)
  cache.release(blocks[0], 1)
  t.equal(cache.idleBlocks, 0)
  cache.release(blocks[0], 1)
  t.equal(cache.idleBlocks, 1)
  t.equal(cache.find('h'), blocks[0])
  cache.release(blocks[1], 1)
  t.equal(pool.free, 1, 'an unregistered block is free at once')
  cache.acquire(blocks[0])
  t.same([...cache.candidates()], [], 'one in use does not leave')
  cache.release(blocks[0], 2)
  cache.evict(blocks[0])
  t.equal(cache.find('h'), undefined)
  t.equal(pool.free, 2)
  t.end()
})

t.test('of those used as often the longest unused would leave first, and each kind of use has its own', (t) => {
  const { cache, blocks } = filled(3)
  for (const [i, block] of blocks.entries()) cache.register(block, `h${i}`, '')
  for (const [i, block] of blocks.entries()) cache.release(block, 1 + i)
  t.same([...cache.candidates()], [blocks[0]])
  t.same([...cache.candidates(new Set([blocks[0], blocks[1]]))], [blocks[2]], 'what is kept is passed over')
  cache.acquire(blocks[0])
  cache.release(blocks[0], 5)
  t.same([...cache.candidates()], [blocks[1], blocks[0]], 'once used, twice used')
  t.same(cache.usageOf(blocks[0]), { weight: 2, lastUsed: 5 })
  cache.evict(blocks[1])
  cache.evict(blocks[2])
  t.same([...cache.candidates()], [blocks[0]])
  t.end()
})

t.test('what left and comes back has its uses', (t) => {
  const { pool, cache, blocks } = filled(1)
  cache.register(blocks[0], 'h', '')
  cache.acquire(blocks[0])
  for (const now of [1, 1]) cache.release(blocks[0], now)
  cache.evict(blocks[0])
  const [again] = pool.allocate(1, KV, () => false) as number[]
  cache.register(again, 'h', '')
  cache.release(again, 4)
  t.same(cache.usageOf(again), { weight: 3, lastUsed: 4 })
  t.end()
})

t.test('a block leaves only after those that follow it, also where chains fork', (t) => {
  const { cache, blocks } = filled(5)
  const [root, left, right, end, other] = blocks
  cache.register(root, 'root', '')
  cache.register(left, 'left', '', 'root')
  cache.register(right, 'right', '', 'root')
  cache.register(end, 'end', '', 'right')
  cache.register(other, 'other', '')
  // The root was used longest ago, and is the first to be idle.
  for (const [now, block] of [root, right, end, left, other].entries()) cache.release(block, now)
  const order: number[] = []
  for (let [next] = cache.candidates(); next !== undefined; [next] = cache.candidates()) {
    order.push(next)
    cache.evict(next)
  }
  t.same(order, [end, right, left, root, other])
  t.end()
})

t.test('a block that only others in use follow can leave: admission was told that it could', (t) => {
  const { pool, cache, blocks } = filled(3)
  const [root, next] = blocks
  cache.register(root, 'root', '')
  cache.register(next, 'next', '', 'root')
  cache.release(root, 1)
  t.same([...cache.candidates()], [root])
  cache.evict(root)
  cache.release(next, 2)
  t.same([...cache.candidates()], [next])
  // The one before it is computed anew, and idle again beside it.
  const [again] = pool.allocate(1, KV, () => false) as number[]
  cache.register(again, 'root', '')
  cache.release(again, 3)
  t.same([...cache.candidates()], [next])
  cache.acquire(next)
  t.same([...cache.candidates()], [again])
  t.end()
})

t.test('two that computed the same prefix: the first is found, the other is freed with its sequence', (t) => {
  const { pool, cache, blocks } = filled(2)
  cache.register(blocks[0], 'h', '')
  cache.register(blocks[1], 'h', '')
  t.equal(cache.find('h'), blocks[0])
  cache.release(blocks[1], 1)
  t.equal(pool.free, 1)
  t.end()
})

t.test('a removed adapter takes its prefixes along: idle ones are freed, used ones can no longer be found', (t) => {
  const { pool, cache, blocks } = filled(3)
  cache.register(blocks[0], 'idle', 'gone:1')
  cache.register(blocks[1], 'used', 'other:1,gone:0.5')
  cache.register(blocks[2], 'kept', 'other:1')
  cache.release(blocks[0], 1)
  cache.release(blocks[2], 1)
  t.equal(
    cache.dropWhere((key) => key.includes('gone')),
    1,
  )
  t.same([cache.find('idle'), cache.find('used'), cache.find('kept')], [undefined, undefined, blocks[2]])
  t.equal(pool.free, 1)
  cache.release(blocks[1], 2)
  t.equal(pool.free, 2)
  t.end()
})
