/** Pure policies: who is admitted next, what is evicted first, and the packing of a step. */
import t from 'tap'
import { packStep } from '../../runtime/engine/batch.ts'
import { leavesBefore } from '../../runtime/pool/eviction.ts'
import { Pool } from '../../runtime/pool/pool.ts'
import { OVERTAKE_LIMIT, WaitingQueue } from '../../runtime/scheduler/queue.ts'
import { Sequence } from '../../runtime/scheduler/sequence.ts'
import type { SequenceRequest } from '../../runtime/types.ts'
import { toyImage, use } from '../support/toy-core.ts'

let submitted = 0
function sequence(id: string, arrival: number, rest: Partial<SequenceRequest> = {}): Sequence {
  const sampling = { logitBias: [], stopTokenIds: [], eosTokenIds: [], logprobs: -1, promptLogprobs: -1, repetitionPenalty: 1 }
  return new Sequence(
    { id, arrival, promptIds: [1, 2, 3], adapters: [], sampling: sampling as never, ...rest } as SequenceRequest,
    0n,
    submitted++,
  )
}

t.test('the queue is first come, first served within a priority', async (t) => {
  const queue = new WaitingQueue()
  for (const s of [sequence('b', 2), sequence('a', 1), sequence('urgent', 9, { priority: -1 }), sequence('c', 2)]) queue.push(s)
  t.same(
    queue.all().map((s) => s.request.id),
    ['urgent', 'a', 'b', 'c'],
  )
})

t.test('a costly head is overtaken, but only so often', async (t) => {
  const queue = new WaitingQueue()
  const head = sequence('head', 0)
  queue.push(head)
  for (let i = 1; i <= OVERTAKE_LIMIT + 3; i++) queue.push(sequence(`${i}`, i))
  const costly = (s: Sequence) => s === head
  for (let i = 0; i < OVERTAKE_LIMIT; i++) {
    const next = queue.next(costly) as Sequence
    t.not(next, head)
    queue.admit(next)
  }
  t.equal(queue.next(costly), head)
})

t.test('nobody overtakes across priorities', async (t) => {
  const queue = new WaitingQueue()
  const urgent = sequence('urgent', 5, { priority: -1 })
  queue.push(sequence('cheap', 1))
  queue.push(urgent)
  t.equal(
    queue.next((s) => s === urgent),
    urgent,
  )
})

t.test('what is long unused and cheap to bring back leaves first', async (t) => {
  const item = (lastUsed: number, blocks: number, restoreMs: number) => ({ lastUsed, blocks, restoreMs })
  t.ok(leavesBefore(item(1, 1, 5), item(9, 1, 5), 10), 'older first')
  t.ok(leavesBefore(item(5, 1, 1), item(5, 1, 8), 10), 'cheaper first')
  t.ok(leavesBefore(item(5, 4, 5), item(5, 1, 5), 10), 'more room first')
})

t.test('sequences of one adapter share a segment whatever their order', async (t) => {
  const pool = new Pool({ putAdapter() {}, adapterReady: () => true, dropAdapter() {} }, 32, 4, 64)
  const [x, y] = [toyImage('x', 1), toyImage('y', 2)]
  for (const image of [x, y]) pool.adapters.load(image, 0, () => false)
  const mixes = [
    [use(x)],
    [],
    [use(x)],
    // The same mix named in two orders: one segment, and its entries in one order whoever is first.
    [use(y), use(x, 0.5)],
    [use(x, 0.5), use(y)],
  ]
  const planned = mixes.map((adapters, i) => {
    const one = sequence(`${i}`, i, { adapters })
    one.blocks = pool.allocateKv(1) ?? []
    return { sequence: one, count: 3 }
  })
  const { batch, segmentOf } = packStep(planned, 4, pool.adapters)
  t.same([...batch.segmentStarts], [0, 6, 9, 15])
  t.same([...batch.segmentEntries], [0, 1, 1, 3])
  const mixed = [use(y), use(x, 0.5)].sort((a, b) => (a.digest < b.digest ? -1 : 1))
  t.same([...batch.entryWeight], [1, ...mixed.map((one) => one.weight)])
  t.same(
    [...batch.entryDigest],
    [use(x), ...mixed].map((one) => BigInt(`0x${one.digest.slice(0, 16)}`)),
  )
  t.same(packStep([...planned].reverse(), 4, pool.adapters).batch.entryWeight.slice(0, 2), batch.entryWeight.slice(1))
  t.same(segmentOf, [0, 0, 1, 2, 2])
  t.same([...batch.logitsIndices], [2, 5, 8, 11, 14])
  t.same([...batch.cumulativeSequenceLength], [0, 3, 6, 9, 12, 15])
  const blocks = [planned[0], planned[2], planned[1], planned[3], planned[4]].map((item) => item.sequence.blocks[0])
  t.same([...batch.blockTable], blocks)
  t.same(
    [...batch.slotMapping],
    blocks.flatMap((block) => [0, 1, 2].map((i) => block * 4 + i)),
  )
})
