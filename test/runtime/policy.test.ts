/** Who is admitted next. */
import t from 'tap'
import { requestPacker } from '../../runtime/engine/packed-request.ts'
import { OVERTAKE_LIMIT, WaitingQueue } from '../../runtime/scheduler/queue.ts'
import { Sequence } from '../../runtime/scheduler/sequence.ts'
import type { SequenceRequest } from '../../runtime/types.ts'
import { greedy } from '../support/greedy.ts'

let submitted = 0
function sequence(id: string, arrival: number, rest: Partial<SequenceRequest> = {}): Sequence {
  const request = { id, arrival, promptIds: [1, 2, 3], adapters: [], sampling: greedy(8), ...rest }
  return new Sequence(requestPacker(97)(request), 0n, submitted++)
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
