/** While a graph is captured, the JavaScript thread brings adapters in and out and admits sequences: CUDA allows it, and the capture is whole. */
import '../support/hollow.ts'
import t, { type Test } from 'tap'
import { decodeStep, residentsOf, slotInput } from '../../bench/decode-batch.ts'
import { loadNative } from '../../native/index.ts'
import type { NativeEngine, PackedAdapter } from '../../native/types.ts'
import { buildModel } from '../../runtime/model/index.ts'
import { ask } from '../support/ask.ts'
import {
  broken,
  capturesOf,
  fault,
  graphsAfter,
  needsHollow,
  startHollow,
  startNative,
  takeErrors,
  takeLog,
} from '../support/hollow.ts'
import { OracleFamily } from '../support/oracle.ts'
import { demoModel, fixture } from '../support/repo.ts'

const ROWS = 4
const CAPTURE_MS = 150
const family = new OracleFamily('llama-heads16', 'float16', fixture('oracle'), 'cuda')
const model = buildModel(fixture('oracle', family.name, 'base'), { device: 'cuda', dtype: 'float16' })

/** With a slot that no step names. */
const start = () => startNative(model, { rows: ROWS + 1, blocks: 512, maxModelLen: 64 })

const decode = (engine: NativeEngine, adapters: PackedAdapter[]) =>
  decodeStep(engine, { rows: ROWS, context: 0, blockSize: 16, vocabSize: model.vocabSize, adapters })

/** Two steps as they are, the third captured, with `meanwhile` called again and again while it is. The log of that step, and what it warned of. */
async function captureDuring(engine: NativeEngine, adapters: PackedAdapter[], meanwhile: () => void) {
  for (let i = 0; i < 2; i++) await decode(engine, adapters)
  takeLog()
  fault(`slow-capture ${CAPTURE_MS}`)
  let done = false
  const step = decode(engine, adapters).finally(() => {
    done = true
  })
  const log: string[] = []
  while (!done) {
    log.push(...takeLog())
    if (log.some((line) => line.startsWith('capture begins'))) meanwhile()
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  const { warning } = await step
  fault()
  return { log: log.concat(takeLog()), warning }
}

const counted = (lines: string[], what: RegExp) => lines.filter((line) => what.test(line)).length

async function wholeCapture(t: Test, { log, warning }: { log: string[]; warning?: string }): Promise<string[]> {
  t.equal(warning, undefined)
  t.same(broken(log), [])
  const captures = capturesOf(log)
  t.equal(captures.length, 1)
  t.equal(counted(log, /^replay/), 1)
  return captures[0]
}

t.afterEach(() => fault())

t.test('adapters and sequences come and go while a graph is captured', needsHollow, async (t) => {
  const engine = await start()
  t.teardown(() => engine.close())
  const residents = residentsOf([...family.images.values()], 8)
  let generation = 100
  let calls = 0
  const comeAndGo = () => {
    const resident = residents[calls++ % residents.length]
    const image = Uint8Array.from(resident.image)
    engine.pinImage(image)
    engine.dropAdapter(resident.index)
    engine.putAdapter({ ...resident, image, generation: ++generation })
    engine.adapterReady(resident.index)
    engine.unpinImage(image)
    if (calls % 2) engine.dropAdapter(resident.index)
    const everything = new Float32Array(model.vocabSize)
    const lists = { biasTokens: Int32Array.from(everything, (_, i) => i), biasValues: everything }
    engine.admit({ ...slotInput(ROWS, new Int32Array(60).fill(3)), ...lists })
    engine.release(ROWS)
    loadNative().cudaDevice()
  }
  // The first ones need memory, for their tables and their way there.
  const first = await wholeCapture(t, await captureDuring(engine, [], comeAndGo))
  t.ok(counted(first, /^cudaMalloc/) > 0, 'memory was allocated meanwhile')
  t.ok(counted(first, /^cudaHostAlloc/) > 0, 'pinned memory too')
  t.ok(counted(first, /^cudaHostRegister/) > 10, 'and images pinned')
  t.ok(counted(first, /^copy \d+ to the device/) > 10, 'and copied')

  // A step with an adapter, while that one's neighbours come and go and it is on its way itself.
  const [used] = residents.splice(0, 1)
  engine.putAdapter({ ...used, generation: ++generation })
  const own = { ...used, generation }
  await wholeCapture(t, await captureDuring(engine, [own], comeAndGo))
  t.same([...(await decode(engine, [own])).sequenceStatus], Array(ROWS).fill(0))
  t.equal(counted(takeLog(), /^replay/), 1)
  t.same(takeErrors(), [])
})

t.test('graphs are forgotten when a buffer moves that they were captured on', needsHollow, async (t) => {
  const { engine } = await startHollow(t, demoModel('base'), undefined)
  let graphs = 0
  const one = async () => {
    graphs = graphsAfter(takeLog()) ?? graphs
    t.equal((await ask(engine, [3, 4, 5], { temperature: 0.8, maxTokens: 12 })).error, undefined)
    const log = takeLog()
    t.same(broken(log), [])
    graphs = graphsAfter(log) ?? graphs
    return { captures: capturesOf(log).length, replays: counted(log, /^replay/) }
  }
  t.same(await one(), { captures: 1, replays: 9 })
  t.same(await one(), { captures: 0, replays: 11 })
  takeLog()
  const everything = { temperature: 1, presencePenalty: 1, logprobs: 20, maxTokens: 4 }
  await Promise.all(Array.from({ length: 50 }, (_, i) => ask(engine, [3, 4, 5 + i], everything)))
  const log = takeLog()
  t.ok(counted(log, /^cudaFree /) > 0, 'sampling took more room')
  const captures = capturesOf(log).length
  t.same(await one(), { captures: 1, replays: 9 })
  // GraphLimits::total exists for this alone: if it fails with a later version, it can go.
  t.equal(graphs, captures + 2, "ONNX Runtime 1.29's CUDA provider keeps what is given back to it")
  await engine.close()
  t.equal(graphsAfter(takeLog()), 0, 'until its session ends')
})

t.test('an engine that is loaded meanwhile spoils no capture', needsHollow, async (t) => {
  const engine = await start()
  t.teardown(() => engine.close())
  let other: Promise<NativeEngine> | undefined
  const { log, warning } = await captureDuring(engine, [], () => {
    other ??= start() // it allocates on a thread of its own
  })
  ;(await other)?.close()
  t.ok(counted(capturesOf(log)[0], /^cudaMalloc/) > 0, 'it allocated while the graph was captured')
  t.same(counted(log, /FORBIDDEN|SPOILT|ASIDE/), 0)
  t.equal(warning, undefined)
})
