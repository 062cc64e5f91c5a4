/** Priorities age: the order of service is total, never changes, and lets nobody wait for ever. */
import t from 'tap'
import { comesBefore, LEVEL_MS, MAX_LEVEL, Sequence } from '../../../runtime/scheduler/sequence.ts'
import { greedy } from '../../support/greedy.ts'
import { seeded } from '../../support/pace.ts'
import { packed, ToyCore } from '../../support/toy-core.ts'
import { toyTokens } from '../../support/toy-engine.ts'

let order = 0
const sequence = (arrival: number, priority: number) =>
  new Sequence(packed({ id: `${order}`, promptIds: [1], adapters: [], arrival, priority, sampling: greedy(1) }), 0n, order++)

t.test('the order of service is total, whatever arrivals and priorities', async (t) => {
  const random = seeded(11)
  const all = Array.from({ length: 60 }, () => sequence(random.below(4) * LEVEL_MS + random.below(3), random.below(7) - 3))
  let wrong = 0
  for (const a of all)
    for (const b of all) {
      if (comesBefore(a, b) === comesBefore(b, a) && a !== b) wrong++
      for (const c of all) if (comesBefore(a, b) && comesBefore(b, c) && !comesBefore(a, c)) wrong++
    }
  t.equal(wrong, 0)
  t.notOk(comesBefore(all[0], all[0]))
})

t.test('a level is worth its seconds, and no priority more than the greatest', async (t) => {
  t.ok(comesBefore(sequence(LEVEL_MS - 1, -1), sequence(0, 0)))
  t.notOk(comesBefore(sequence(LEVEL_MS + 1, -1), sequence(0, 0)))
  const [worst, best] = [2 ** 31 - 1, -(2 ** 31)]
  t.ok(comesBefore(sequence(2 * MAX_LEVEL * LEVEL_MS - 1, best), sequence(0, worst)))
  t.notOk(comesBefore(sequence(2 * MAX_LEVEL * LEVEL_MS + 1, best), sequence(0, worst)))
})

for (const runs of [false, true])
  t.test(
    `beside a never-ending stream of better priorities, more than can be served, a worse one that ${runs ? 'runs' : 'waits'} ends`,
    async (t) => {
      // A step is a second. Each sequence takes four, one comes every second, and a step has two tokens: the queue only grows.
      const toy = new ToyCore({ blockCount: 400, maxBatchTokens: runs ? 2 : 64, maxSequences: runs ? 400 : 2 })
      const [level, start] = [-3, 10 ** 12]
      const better = (i: number) =>
        toy.submit(`${i}`, [(i + 90) % 90], [], { maxTokens: 4 }, { priority: level, arrival: start + i * 1000 })
      if (!runs) for (let i = 0; i < 2; i++) better(-1 - i)
      toy.submit('worse', [7, 8, 9], [], { maxTokens: 4 }, { priority: 0, arrival: start })
      if (runs) await toy.step()
      let ended: number | undefined
      for (let i = 0; ended === undefined && i < 300; i++) {
        better(i)
        await toy.step()
        if (toy.last('worse')?.finish) ended = i
      }
      t.same(toy.tokens('worse'), toyTokens([7, 8, 9], [], 4))
      // It lets those pass that come in its first 30 s, two steps' worth each on average, and no later one.
      t.ok(ended !== undefined && ended > 20 && ended < 70, `after ${ended} s`)
      const later = Array.from({ length: 300 }, (_, i) => i).filter((i) => i > 31 && toy.tokens(`${i}`).length > 1)
      t.same(later, [], 'nobody who came later was served before it')
    },
  )
