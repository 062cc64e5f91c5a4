/** What is learned of how long steps take. */
import t from 'tap'
import { addWork, noWork, StepTime, type Work } from '../../../runtime/scheduler/step-time.ts'
import { seeded } from '../../support/pace.ts'

/** `rows` sequences that decode after `context` tokens, and a chunk of a prompt after `before`. */
function work(rows: number, context: number, chunk = 0, before = 0): Work {
  const all = noWork()
  for (let i = 0; i < rows; i++) addWork(all, context, 1, 1)
  if (chunk > 0) addWork(all, before, chunk, 0)
  return all
}

/** The 135M shape on two cores, about (docs/benchmarks.md). */
const truth = ({ tokens, context, pairs, rows }: Work) => 10 + 0.6 * tokens + 0.0004 * context + 0.0001 * pairs + rows
const ratio = (model: StepTime, one: Work) => model.predict(one) / truth(one)

t.test('what is computed, added up by hand', async (t) => {
  const all = noWork()
  addWork(all, 10, 3, 2)
  // The three attend to 11, 12 and 13.
  t.same(all, { tokens: 3, context: 13, pairs: 36, rows: 2 })
  addWork(all, 20, 1, 1)
  t.same(all, { tokens: 3, context: 34, pairs: 36, rows: 3 })
})

t.test('nothing is known at first, and nothing learned from what is no time', async (t) => {
  const model = new StepTime()
  for (const ms of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) model.measured(work(1, 5, 200), ms)
  t.same([model.predict(work(3, 100, 50)), model.tokenMs(100, true), model.trusted], [0, 0, 32])
  model.measured(work(0, 0, 100), truth(work(0, 0, 100)))
  t.ok(Math.abs(ratio(model, work(0, 0, 100)) - 1) < 1e-3, 'the first measurement is taken as it is')
  t.equal(model.trusted, 200)
})

/** A prompt, answers, and some prompts beside them; on a device that is `speed` times as fast. */
function taught(speed: number, noise: () => number): StepTime {
  const model = new StepTime()
  const teach = (one: Work) => model.measured(one, (truth(one) / speed) * noise())
  teach(work(0, 0, 256))
  for (let i = 0; i < 30; i++) teach(work(16, 64 + i))
  for (let i = 0; i < 60; i++) teach(work(16, 94 + i, 100, (i % 18) * 100))
  return model
}

t.test('steps like those that were measured are predicted, on any device', async (t) => {
  for (const speed of [0.01, 1, 300]) {
    const model = taught(speed, () => 1)
    for (const one of [work(16, 120), work(16, 120, 60), work(16, 120, 120, 700), work(16, 120, 120, 1500)]) {
      const off = ratio(model, one) * speed
      t.ok(off > 0.8 && off < 1.3, `${off}`)
    }
    const beside = (one: Work) => (model.predict(one) - model.predict(work(16, 120))) * speed
    t.ok(beside(work(16, 120, 64, 1800)) > 1.1 * beside(work(16, 120, 64)), 'attention over a long context is counted')
    t.ok(model.tokenMs(1800, false) > model.tokenMs(0, false))
    t.ok(model.tokenMs(0, true) > model.tokenMs(0, false))
  }
})

t.test('hours of decoding do not unlearn what a prompt costs', async (t) => {
  const model = taught(1, () => 1)
  for (let i = 0; i < 50_000; i++) model.measured(work(16, 100 + (i % 1500)), truth(work(16, 100 + (i % 1500))))
  const off = ratio(model, work(16, 120, 100, 300))
  t.ok(off > 0.8 && off < 1.3, `${off}`)
})

t.test('noise, and steps that take three times as long for no reason, are lived with', async (t) => {
  const random = seeded(4)
  const ratios: number[] = []
  for (let run = 0; run < 40; run++) {
    const model = taught(1, () => (0.8 + 0.4 * random.next()) * (random.below(20) === 0 ? 3 : 1))
    ratios.push(ratio(model, work(16, 120, 100, 300)))
  }
  ratios.sort((a, b) => a - b)
  t.ok(ratios[2] > 0.7 && ratios[20] > 0.9 && ratios[20] < 1.7 && ratios[37] < 2.5, `${[ratios[2], ratios[20], ratios[37]]}`)
})

t.test('one step that hangs changes little, a machine that has become slow is noticed within a few steps', async (t) => {
  const model = taught(1, () => 1)
  const [rows, mixed] = [work(16, 120), work(16, 120, 100, 300)]
  const before = model.predict(mixed)
  model.measured(rows, 1e6)
  t.ok(model.predict(mixed) < 1.5 * before)
  for (let i = 0; i < 10; i++) model.measured(rows, 2 * truth(rows))
  t.ok(model.predict(mixed) > 1.35 * truth(mixed), 'although only decoding was seen to be slow')
  for (let i = 0; i < 10; i++) model.measured(rows, truth(rows))
  t.ok(model.predict(mixed) < 1.35 * truth(mixed), 'and that it is fast again')
})

t.test('a day of noisy steps: what is learned stays within numbers', async (t) => {
  const model = new StepTime()
  const random = seeded(5)
  // Times that vary sixfold either way, as on a machine with ten times more to do than cores.
  const noise = () => Math.exp((random.next() + random.next() + random.next() - 1.5) * 1.2)
  for (let i = 0; i < 400_000; i++) {
    const one = work(1 + random.below(20), random.below(200), random.below(2) * (2 + random.below(120)), random.below(100))
    model.measured(one, truth(one) * noise())
    const predicted = model.predict(one)
    if (i > 500 && !(predicted > 0.3 * truth(one) && predicted < 8 * truth(one)))
      return t.fail(`step ${i}: ${predicted} ms for ${truth(one)}`)
  }
  t.ok(model.tokenMs(100, false) > 0)
})
