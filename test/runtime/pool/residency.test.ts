/** Adapters in the pool: what the addon is told, generations, and who may be put out. */
import t from 'tap'
import type { PackedAdapter } from '../../../native/types.ts'
import { BlockPool, KV } from '../../../runtime/pool/blocks.ts'
import { COPY_RATE, Pool } from '../../../runtime/pool/pool.ts'
import { AdapterResidency } from '../../../runtime/pool/residency.ts'
import { toyImage } from '../../support/toy-core.ts'

class NotedTable {
  readonly put: PackedAdapter[] = []
  readonly dropped: number[] = []
  refuse = false
  putAdapter(adapter: PackedAdapter): void {
    if (this.refuse) throw new RangeError('refused')
    this.put.push(adapter)
  }
  /** Places whose bytes have arrived. */
  readonly arrived = new Set<number>()
  asked = 0
  adapterReady(index: number): boolean {
    this.asked++
    return this.arrived.has(index)
  }
  dropAdapter(index: number): void {
    this.dropped.push(index)
  }
}
const never = () => false

t.test('a residency has a place, a generation of its own and the digest that the image has', (t) => {
  const table = new NotedTable()
  const pool = new BlockPool(10)
  const adapters = new AdapterResidency(table, pool)
  const [x, y] = [toyImage('x', 3), toyImage('y', 2)]
  adapters.load(x, 1, never)
  adapters.load(y, 1, never)
  adapters.load(x, 2, never)
  t.equal(table.put.length, 2, 'what is there is not copied again')
  t.same(
    table.put.map((one) => [one.index, one.generation, one.blocks.length]),
    [
      [0, 1, 3],
      [1, 2, 2],
    ],
  )
  t.equal(table.put[0].digest, BigInt(`0x${x.digest.slice(0, 16)}`))
  t.equal(new Set([...table.put[0].blocks, ...table.put[1].blocks]).size, 5)
  const resident = adapters.get(x.digest)
  t.ok(resident)
  if (resident) adapters.evict(resident)
  t.same(table.dropped, [0])
  adapters.load(x, 3, never)
  t.same([table.put[2].index, table.put[2].generation], [0, 3], 'the place is used again, the generation is not')
  t.end()
})

t.test('one in use is never put out, and of those used as often the longest idle one is first', (t) => {
  const pool = new BlockPool(10)
  const adapters = new AdapterResidency(new NotedTable(), pool)
  const images = ['a', 'b', 'c'].map((name) => toyImage(name, 1))
  for (const image of images) adapters.load(image, 1, never)
  const names = (kept?: Set<string>) => [...adapters.candidates('blocks', kept)].map(({ image }) => image.name)
  t.same(names(), ['a'])
  adapters.acquire(images[0].digest, 2)
  t.same(names(), ['b'])
  adapters.acquire(images[1].digest, 3)
  adapters.release(images[1].digest, 4)
  t.same(names(), ['c'], 'the use that b was brought in for is the one it has had')
  t.same(names(new Set([images[2].digest])), ['b'], 'what is kept is passed over')
  adapters.release(images[0].digest, 5)
  adapters.acquire(images[1].digest, 5)
  adapters.release(images[1].digest, 5)
  t.same(names(), ['c', 'b'], 'once and twice')
  t.same(
    images.map(({ digest }) => adapters.get(digest)?.weight),
    [1, 2, 1],
  )
  t.same([...adapters.candidates('frames')], [])
  for (const { digest } of images) adapters.evict(adapters.get(digest)!)
  t.equal(pool.free, 10)
  adapters.load(images[0], 6, never)
  adapters.acquire(images[0].digest, 6)
  const used = adapters.get(images[0].digest)
  t.throws(() => used && adapters.evict(used), /put out while in use/)
  t.end()
})

t.test('when the addon refuses, or there is no room, nothing is kept', (t) => {
  const table = new NotedTable()
  const pool = new BlockPool(4)
  const adapters = new AdapterResidency(table, pool)
  table.refuse = true
  t.throws(() => adapters.load(toyImage('x', 3), 1, never), /refused/)
  t.equal(pool.free, 4)
  t.equal(adapters.get(toyImage('x', 3).digest), undefined)
  table.refuse = false
  t.equal(adapters.load(toyImage('big', 5), 1, never), false)
  t.equal(pool.free, 4)
  adapters.load(toyImage('y', 4), 1, never)
  t.equal(table.put[0].index, 0, 'the place is free too')
  t.end()
})

t.test('one is ready once its bytes have arrived, and a residency that follows it is not', (t) => {
  const table = new NotedTable()
  const adapters = new AdapterResidency(table, new BlockPool(4))
  const [x, y] = [toyImage('x', 2), toyImage('y', 2)]
  t.equal(adapters.ready(x.digest), false, 'not even there')
  adapters.load(x, 1, never)
  t.equal(adapters.ready(x.digest), false)
  table.arrived.add(0)
  t.equal(adapters.ready(x.digest), true)
  const { asked } = table
  t.equal(adapters.ready(x.digest), true)
  t.equal(table.asked, asked, 'what has arrived is not asked for again')
  const resident = adapters.get(x.digest)
  if (resident) adapters.evict(resident)
  table.arrived.clear()
  adapters.load(y, 2, never)
  t.equal(adapters.get(y.digest)?.index, 0, 'it has the same place')
  t.equal(adapters.ready(y.digest), false)
  t.end()
})

t.test('blocks: all or none, and a misuse is an error', (t) => {
  const pool = new BlockPool(4)
  const taken = pool.allocate(3, KV, never) as number[]
  t.equal(new Set(taken).size, 3)
  t.equal(pool.allocate(2, KV, never), undefined)
  t.equal(pool.free, 1)
  t.throws(() => pool.release(taken[0]), /in use/)
  pool.references[taken[0]] = 0
  pool.release(taken[0])
  t.throws(() => pool.release(taken[0]), /while free/)
  t.end()
})

t.test('adapters and prefixes compete by age and by what it costs to bring them back', (t) => {
  const make = (tokenMs: number, copyRate = COPY_RATE.device) => {
    const pool = new Pool(new NotedTable(), 4, 16, COPY_RATE.device, copyRate) // a block is copied in 1 ms
    pool.tokenMs = tokenMs
    pool.adapters.load(toyImage('x', 2), 1, never)
    const [block] = pool.allocateKv(1) as number[]
    pool.prefixes.register(block, 'h', '')
    pool.prefixes.release(block, 1)
    pool.now = 10
    pool.evict('block')
    return pool
  }
  t.ok(make(1).prefixes.find('h') !== undefined, '16 ms of computing stay, 1 ms of copying a block goes')
  t.equal(make(0.01).prefixes.find('h'), undefined, '0.16 ms of computing goes first')
  t.ok(make(0.05).prefixes.find('h') === undefined, '0.8 ms of computing goes before 1 ms of copying')
  t.ok(make(0.05, COPY_RATE.host).prefixes.find('h') !== undefined, 'the CPU brings it in within 0.1 ms')
  t.end()
})

t.test('an allocation that would fail all the same puts nothing out', (t) => {
  const pool = new Pool(new NotedTable(), 4, 16, 64)
  pool.adapters.load(toyImage('x', 2), 1, never)
  t.equal(pool.available(), 4)
  t.equal(pool.allocateKv(5), undefined)
  t.ok(pool.adapters.get(toyImage('x', 2).digest))
  t.equal(pool.allocateKv(4)?.length, 4)
  t.equal(pool.adapters.evictions, 1)
  t.end()
})
