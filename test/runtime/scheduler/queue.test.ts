/** The queue against a plain sorted list, and what its operations cost. */
import t from 'tap'
import { WaitingQueue } from '../../../runtime/scheduler/queue.ts'
import { comesBefore, Sequence } from '../../../runtime/scheduler/sequence.ts'
import { greedy } from '../../support/greedy.ts'
import { packed } from '../../support/toy-core.ts'

let order = 0
const sequence = (arrival: number, priority: number) =>
  new Sequence(packed({ id: `${order}`, promptIds: [1], adapters: [], arrival, priority, sampling: greedy(1) }), 0n, order++)

function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

t.test('it is a sorted list, whatever comes and goes', async (t) => {
  const r = random(3)
  const queue = new WaitingQueue()
  const model: Sequence[] = []
  const gone: Sequence[] = []
  for (let i = 0; i < 6000; i++) {
    // It grows past several chunks, and shrinks to nothing.
    if (r(10) < (i < 3000 ? 8 : 2)) {
      const one = gone.length > 0 && r(3) === 0 ? (gone.pop() as Sequence) : sequence(r(50), r(4))
      queue.push(one)
      model.push(one)
    } else if (model.length > 0) {
      const [one] = model.splice(r(model.length), 1)
      if (r(4) === 0) {
        one.state = 'ended'
        queue.drop(one)
        if (queue.length !== model.length) t.fail('one that has ended is counted')
        continue
      }
      if (!queue.remove(one)) t.fail('one that waits was not found')
      if (queue.remove(one)) t.fail('one that has left was found')
      gone.push(one)
    }
    if (i % 100 > 0) continue
    model.sort((a, b) => (comesBefore(a, b) ? -1 : 1))
    t.same([queue.length, queue.all().length], [model.length, model.length])
    t.ok(queue.all().every((one, k) => one === model[k]))
    const most = r(700)
    t.ok(queue.first(most).every((one, k) => one === model[k]) && queue.first(most).length === Math.min(most, model.length))
    t.equal(
      queue.next(() => false),
      model[0],
    )
  }
})

t.test('40,000 that come in mixed priorities and go in any order cost little', async (t) => {
  const came: number[] = []
  const admitted: number[] = []
  // The best of some rounds: what others do on the machine only adds to it.
  for (let round = 0; round < 4; round++) {
    const r = random(5)
    const all = Array.from({ length: 40_000 }, (_, i) => sequence(i, r(40_000)))
    const queue = new WaitingQueue()
    const started = performance.now()
    for (const one of all) queue.push(one)
    for (const one of all) {
      if (r(2)) continue
      if (r(2)) queue.remove(one)
      else {
        one.state = 'ended'
        queue.drop(one)
      }
    }
    const between = performance.now()
    for (let i = 0; i < 1000; i++) queue.admit(queue.next(() => false) as Sequence)
    came.push(between - started)
    admitted.push(performance.now() - between)
  }
  t.comment(`came and half gone in ${Math.min(...came).toFixed(1)} ms, 1,000 admitted in ${Math.min(...admitted).toFixed(1)} ms`)
  // A quiet machine needs 35 and 1 ms; a flat list walks past thousands for each that comes.
  t.ok(Math.min(...came) < 1000)
  t.ok(Math.min(...admitted) < 100)
})
