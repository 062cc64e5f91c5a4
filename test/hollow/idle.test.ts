/** How long the device waits between two decode steps, when a step takes it a while: the host's part of a step that nothing hides. */
import '../support/hollow.ts'
import t from 'tap'
import { ask } from '../support/ask.ts'
import { broken, fault, needsHollow, startHollow, stepsOf, takeLog } from '../support/hollow.ts'
import { fixture } from '../support/repo.ts'

const SEQUENCES = 64
const STEP_US = 2000
const TOKENS = 60

t.afterEach(() => fault())

t.test('the device between two decode steps', needsHollow, async (t) => {
  const settings = { maxSequences: SEQUENCES, maxBatchTokens: 512 }
  const { engine } = await startHollow(t, fixture('oracle/llama-heads16/base'), undefined, settings)
  const batch = () =>
    Promise.all(Array.from({ length: SEQUENCES }, (_, i) => ask(engine, [3, 4, 5 + (i % 50)], { maxTokens: TOKENS })))
  await batch() // every shape of the way has its graph
  takeLog()
  fault(`slow-step ${STEP_US}`)
  const began = performance.now()
  for (const { error } of await batch()) t.equal(error, undefined)
  const tookMs = performance.now() - began
  fault()
  const log = takeLog()
  t.same(broken(log), [])
  const steps = stepsOf(log)
  t.ok(steps.length >= TOKENS, `${steps.length} steps`)
  for (const { begin, end } of steps) if (end - begin !== STEP_US) t.fail(`a step of ${end - begin} µs`)
  t.ok(tookMs >= (steps.length * STEP_US) / 1000, `the engine waits for them: ${tookMs.toFixed(0)} ms`)

  const idle = steps.slice(1).map(({ begin }, i) => begin - steps[i].end)
  t.ok(
    idle.every((us) => us >= 0),
    'one after the other',
  )
  const sorted = idle.toSorted((a, b) => a - b)
  t.comment(`idle between two steps, µs: median ${sorted[sorted.length >> 1]}, most ${sorted.at(-1)}`)
})
