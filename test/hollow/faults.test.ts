/** Calls of CUDA that fail: what is lost is the request that needed them, and what is said helps. A capture that fails is not even that. */
import '../support/hollow.ts'
import t, { type Test } from 'tap'
import type { Engine, SequenceRequest } from '../../runtime/types.ts'
import { ask } from '../support/ask.ts'
import { broken, capturesOf, fault, needsHollow, startHollow, takeLog } from '../support/hollow.ts'
import { idleComplaints } from '../support/oracle.ts'
import { fixture } from '../support/repo.ts'

const base = fixture('oracle/llama-heads16/base')
const adapters = fixture('oracle/llama-heads16/adapters')
const FALLBACK = /^decode steps cannot be captured as CUDA graphs and run without from now on: .+/
/** Enough steps of one shape to be captured. */
const prompt = [3, 4, 5]
const STEPS = { maxTokens: 12 }

t.afterEach(() => fault())

/** What the engine warns of from now on. */
function warningsOf(engine: Engine): string[] {
  const warnings: string[] = []
  engine.onWarning = (message) => warnings.push(message)
  return warnings
}

/** Nothing is in flight, nothing is held, and the engine answers. */
async function servesOn(t: Test, engine: Engine, use: SequenceRequest['adapters'] = []): Promise<void> {
  t.match(await ask(engine, prompt, STEPS, use), { finish: 'length', error: undefined }, 'the engine serves on')
  await engine.idle()
  t.same(idleComplaints(engine.snapshot), [])
}

t.test('a capture that fails: steps run without from then on', needsHollow, async (t) => {
  for (const call of ['cudaGraphInstantiate', 'cudaStreamEndCapture', 'cudaStreamBeginCapture', 'cudaGraphLaunch'])
    await t.test(call, async (t) => {
      const { engine } = await startHollow(t, base, undefined)
      const warnings = warningsOf(engine)
      takeLog()
      fault(call)
      t.match(await ask(engine, prompt, STEPS), { finish: 'length', tokens: Array(12).fill(0), error: undefined })
      const log = takeLog()
      t.equal(log.filter((line) => line === `fault in ${call}`).length, 1, 'it is tried once')
      t.match(warnings, [FALLBACK], 'a warning says so')
      fault()
      await servesOn(t, engine)
      t.same(capturesOf(takeLog()), [], 'and never again')
      t.equal(engine.snapshot.counters.failedSteps, 0)
      await engine.close()
    })
})

t.test('a launch that fails, wherever it is', needsHollow, async (t) => {
  const { engine } = await startHollow(t, base, undefined)
  takeLog()
  await ask(engine, prompt, STEPS)
  const launches = takeLog().filter((line) => /^(kernel|product)/.test(line)).length
  await engine.close()
  t.ok(launches > 150, `${launches} launches until a step is captured`)
  const outcomes = new Set<string>()
  for (let k = 0; k < launches; k += 13) {
    const { engine } = await startHollow(t, base, undefined)
    const warnings = warningsOf(engine)
    fault(`kernel ${k} 1`)
    const { error } = await ask(engine, prompt, STEPS)
    const fellBack = warnings.some((line) => FALLBACK.test(line))
    t.equal(error === undefined, fellBack, `launch ${k}: the request fails, or the step is run again without a graph`)
    if (error) t.match(error, /^the step failed: .+/)
    outcomes.add(error ? 'failed' : 'again')
    takeLog()
    await servesOn(t, engine)
    t.same(broken(takeLog()), [])
    await engine.close()
  }
  t.same(outcomes.size, 2)

  // A step that fails in either way says nothing of graphs.
  const { engine: other } = await startHollow(t, base, undefined)
  const warnings = warningsOf(other)
  fault(`kernel ${launches - 20}`)
  t.match(await ask(other, prompt, STEPS), { finish: 'error', error: /^the step failed: .+/ })
  fault()
  takeLog()
  await servesOn(t, other)
  t.equal(capturesOf(takeLog()).length, 1)
  t.same(warnings, [])
})

t.test('no memory while the engine loads', needsHollow, async (t) => {
  for (const call of ['cudaMalloc', 'cudaHostAlloc'])
    for (const after of [0, 4, 12, 30, 38]) {
      fault(`${call} ${after}`)
      takeLog()
      const started = await startHollow(t, base, undefined, { poolBytes: undefined }).catch((error: Error) => error)
      const failed = takeLog().includes(`fault in ${call}`)
      t.equal(
        started instanceof Error,
        failed,
        `${call} after ${after}: ${started instanceof Error ? started.message : 'enough'}`,
      )
      if (started instanceof Error)
        t.match(
          started.message,
          /^(the model does not load \(\d+ of \d+ bytes on hollow|the largest step that --max-batch-tokens .*: |the tokens of --max-sequences .*: |CUDA, pinned memory: )/,
        )
      else await started.engine.close()
    }
  fault()
  const { engine } = await startHollow(t, base, undefined)
  await servesOn(t, engine)
})

t.test('no memory in a step: the request that needs it fails', needsHollow, async (t) => {
  const { engine } = await startHollow(t, base, undefined)
  await ask(engine, prompt, STEPS)
  fault('cudaMalloc')
  const others = [0, 1, 2].map((i) => ask(engine, [3, 4, 5 + i], { maxTokens: 30 }))
  const logits = await ask(engine, prompt, { returnLogits: true })
  t.match(logits, { finish: 'error', error: /the step failed: the device has no \d+ bytes left/ })
  const long = await ask(engine, Array(200).fill(3), {})
  t.match(long, { finish: 'error', error: /the step failed: .*(allocate|memory)/i })
  for (const other of await Promise.all(others)) t.match(other, { finish: 'length', error: undefined })
  await servesOn(t, engine)
  fault()
  t.match(await ask(engine, prompt, { returnLogits: true }), { finish: 'length', error: undefined })
  t.match(await ask(engine, Array(200).fill(3), {}), { finish: 'length', error: undefined })
  await servesOn(t, engine)
})

t.test('adapters', needsHollow, async (t) => {
  await t.test('one that cannot be pinned is served', async (t) => {
    fault('cudaHostRegister')
    const { engine, images } = await startHollow(t, base, adapters)
    const warnings = warningsOf(engine)
    for (const { name, digest } of images.values()) await servesOn(t, engine, [{ name, digest, weight: 1 }])
    t.match(warnings, [/cannot be pinned.*out of memory/])
  })
  for (const call of ['cudaMalloc', 'cudaHostAlloc', 'cudaMemcpyAsync'])
    await t.test(`one that cannot be brought in (${call}) fails its requests`, async (t) => {
      const { engine, images } = await startHollow(t, base, adapters)
      await servesOn(t, engine)
      const { name, digest } = images.get('dora')!
      const use = [{ name, digest, weight: 1 }]
      fault(call)
      t.match(await ask(engine, prompt, STEPS, use), { finish: 'error', error: /.+/ })
      fault()
      await servesOn(t, engine, use)
    })
})
