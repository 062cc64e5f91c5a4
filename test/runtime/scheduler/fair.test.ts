/** Fair scheduling: service counted by flow, who is next, and who gives way. */
import t from 'tap'
import { requestPacker } from '../../../runtime/engine/packed-request.ts'
import { FairQueue } from '../../../runtime/scheduler/fair-queue.ts'
import { Fairness, flowOf, LEAST_RUN } from '../../../runtime/scheduler/fairness.ts'
import { Sequence } from '../../../runtime/scheduler/sequence.ts'
import { ServiceCounters } from '../../../runtime/scheduler/service.ts'
import { greedy } from '../../support/greedy.ts'
import { seeded } from '../../support/pace.ts'
import { ToyCore } from '../../support/toy-core.ts'

let submitted = 0
function sequence(flow: string, length: number): Sequence {
  const promptIds = Array.from({ length }, (_, i) => i % 90)
  const request = { id: `${flow}-${submitted}`, arrival: submitted, promptIds, adapters: [], sampling: greedy(8), flow }
  return new Sequence(requestPacker(97)(request), 0n, submitted++)
}

t.test('a flow that comes back starts at the least of those that are served', async (t) => {
  const counters = new ServiceCounters()
  counters.enter('a')
  counters.charge('a', 100)
  counters.enter('b')
  t.equal(counters.of('b'), 100)
  counters.charge('b', 50)
  counters.leave('a')
  counters.charge('b', 50)
  counters.enter('a')
  t.equal(counters.of('a'), 200, 'nothing was owed to it while it wanted nothing')
  counters.leave('a')
  counters.leave('b')
  counters.enter('c')
  t.equal(counters.of('c'), 200, 'nor to a newcomer, where nobody is served')
  for (let i = 0; i < 20_000; i++) {
    counters.enter(`once-${i}`)
    counters.leave(`once-${i}`)
  }
  t.ok((counters as unknown as { counters: Map<string, number> }).counters.size < 10_000, 'who came once is forgotten')
  t.equal(counters.of('c'), 200)
})

t.test('the flow that has been served least is next; the look ahead counts what it would admit', async (t) => {
  const fairness = new Fairness()
  const queue = new FairQueue(fairness.counters)
  const all = [sequence('a', 50), sequence('a', 10), sequence('a', 10), sequence('b', 20), sequence('b', 20), sequence('c', 5)]
  for (const one of all) {
    fairness.entered(one)
    queue.push(one)
  }
  const [a1, a2, a3, b1, b2, c1] = all
  t.equal(queue.length, 6)
  const ahead = queue.first(10)
  t.same(queue.first(2), ahead.slice(0, 2))
  const admitted: Sequence[] = []
  for (let next = queue.next(() => false); next; next = queue.next(() => false)) {
    queue.admit(next)
    fairness.admitted(next)
    admitted.push(next)
  }
  t.same(admitted, ahead, 'what was looked ahead is what came')
  t.same(admitted, [c1, b1, a1, b2, a2, a3], 'of flows served alike the one that came last')
  t.equal(queue.length, 0)
  const dropped = sequence('a', 1)
  queue.push(dropped)
  dropped.state = 'ended'
  queue.drop(dropped)
  t.same([queue.length, queue.first(3), queue.next(() => false), queue.lists()], [0, [], undefined, []])
})

t.test('who is ahead by more than it costs gives way, not the first and not one that has just begun', async (t) => {
  const fairness = new Fairness()
  const running = [sequence('flood', 40), sequence('flood', 40), sequence('quiet', 40), sequence('flood', 40)]
  for (const one of running) {
    fairness.entered(one)
    fairness.admitted(one)
    one.computed = 40
  }
  const waiting = sequence('quiet', 10)
  t.equal(fairness.yielding(waiting, running), undefined, 'it is not far enough ahead')
  fairness.counters.charge('flood', 10 + 4 * 2)
  t.equal(fairness.yielding(waiting, running), undefined, 'by what it would be charged and a step')
  fairness.counters.charge('flood', 1)
  t.equal(fairness.yielding(waiting, running), running[3])
  t.equal(fairness.lastOf(running), running[3])
  running[3].admittedAt = 40 - LEAST_RUN + 1
  t.equal(fairness.yielding(waiting, running), running[1])
  running[1].admittedAt = 40
  t.equal(fairness.yielding(waiting, running), undefined, 'the first of all stays')
  fairness.counters.charge('quiet', 10_000)
  t.equal(fairness.lastOf(running), running[2])
  t.equal(fairness.lastOf(running.slice(0, 1)), running[0], 'alone')
  t.equal(fairness.yielding(waiting, running.slice(0, 1)), undefined)
})

t.test('a flow of which nothing runs takes a place of one that has several, unless it is ahead', async (t) => {
  const fairness = new Fairness()
  const running = [sequence('flood', 40), sequence('flood', 40), sequence('flood', 40)]
  for (const one of running) {
    fairness.entered(one)
    fairness.admitted(one)
    one.computed = 40
  }
  const waiting = sequence('quiet', 500)
  fairness.entered(waiting)
  t.equal(fairness.counters.of('quiet'), fairness.counters.of('flood'))
  t.equal(fairness.yielding(waiting, running), running[2])
  t.equal(fairness.yielding(sequence('flood', 1), running), undefined, 'its own do not give way')
  t.equal(fairness.yielding(waiting, [sequence('other', 4), running[2]]), undefined, 'nobody takes a last place')
  fairness.counters.charge('quiet', 1)
  t.equal(fairness.yielding(waiting, running), undefined, 'it is ahead')
})

/** Service that flows received, by what their sequences have told. */
function served(toy: ToyCore, flow: string): number {
  let tokens = 0
  for (const [id, outputs] of toy.outputs)
    if (id.startsWith(flow))
      tokens += outputs.reduce((sum, output) => sum + 2 * output.tokens.length, 0) + Number(id.split(':')[1])
  return tokens
}

for (const overlap of [false, true])
  t.test(`flows that always want more are served alike${overlap ? ', with steps planned ahead' : ''}`, async (t) => {
    const toy = new ToyCore({ blockCount: 60, maxSequences: 8, maxBatchTokens: 64, fair: true, overlap })
    const random = seeded(4)
    let id = 0
    const want = (flow: string) => {
      const length = flow === 'long' ? 60 + random.below(40) : 4 + random.below(8)
      const prompt = Array.from({ length }, () => 14 + random.below(70))
      toy.submit(`${flow}:${length}:${id++}`, prompt, [], { maxTokens: flow === 'long' ? 10 : 30, ignoreEos: true }, { flow })
    }
    // One has a hundred waiting from the start, the other few at a time.
    for (let i = 0; i < 100; i++) want('long')
    for (let step = 0; step < 600; step++) {
      const open = (flow: string) => [...toy.core.scheduler.waiting.first(200)].filter((s) => flowOf(s) === flow).length
      while (open('short') < 4) want('short')
      while (open('long') < 20) want('long')
      await toy.step()
    }
    const [long, short] = [served(toy, 'long'), served(toy, 'short')]
    t.ok(long > 3000 && short > 3000, `${long} and ${short}`)
    t.ok(Math.abs(long - short) <= 0.1 * Math.max(long, short), `${long} and ${short} differ by a tenth at most`)
  })

t.test('a quiet flow has its first token within a few steps of a flood', async (t) => {
  const flooded = async (fair: boolean, quiet: number) => {
    const toy = new ToyCore({ blockCount: 64, maxSequences: 8, maxBatchTokens: 64, fair })
    for (let i = 0; i < 60; i++)
      toy.submit(`flood:${i}`, [14 + i, 15, 16, 17, 18, 19], [], { maxTokens: 60, ignoreEos: true }, { flow: 'flood' })
    for (let step = 0; step < 40; step++) await toy.step()
    const waits: number[] = []
    for (let i = 0; i < quiet; i++) {
      toy.submit(`quiet:${i}`, [20, 21 + i, 22], [], { maxTokens: 4, ignoreEos: true }, { flow: 'quiet' })
      let steps = 0
      for (; toy.tokens(`quiet:${i}`).length === 0 && steps < 1000; steps++) await toy.step()
      waits.push(steps)
      while (toy.last(`quiet:${i}`)?.finish === undefined) await toy.step()
      for (let step = 0; step < 10; step++) await toy.step()
    }
    await toy.drain()
    const whole = [...toy.outputs.values()].filter((outputs) => outputs.flatMap(({ tokens }) => tokens).length >= 4)
    t.equal(whole.length, 60 + quiet, 'all end')
    return waits
  }
  const fair = await flooded(true, 8)
  t.ok(Math.max(...fair) <= 2, `fair: ${fair}: its own step and one of the flood's at most`)
  const [fcfs] = await flooded(false, 1)
  t.ok(fcfs > 100, `first come, first served: ${fcfs}`)
})
