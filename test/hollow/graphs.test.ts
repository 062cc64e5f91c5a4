/** More shapes of decode steps than graphs are kept: the latest ones have theirs, and an old one gets it back. */
import '../support/hollow.ts'
import t from 'tap'
import { type DecodeRows, decodeStep, samplingOf } from '../../bench/decode-batch.ts'
import { buildModel } from '../../runtime/model/index.ts'
import { broken, capturesOf, needsHollow, startNative, takeLog } from '../support/hollow.ts'
import { fixture } from '../support/repo.ts'

/** GraphLimits in native/engine/cuda/cuda_engine.cc. */
const MOST_GRAPHS = 512
const RUNS_BEFORE = 2
const MOST_ROWS = 256
const model = buildModel(fixture('oracle/llama-heads16/base'), { device: 'cuda', dtype: 'float16' })

interface Shape {
  rows: number
  context: number
  /** Greedy, drawn, or everything. */
  form: 0 | 1 | 2
}
const ROWS = [1, 2, 4, ...Array.from({ length: MOST_ROWS / 8 }, (_, i) => 8 * (i + 1))]
const CONTEXTS = [0, 16, 48, 112, 240] // 1, 2, 4, 8 and 16 blocks
const SHAPES = ROWS.flatMap((rows) =>
  CONTEXTS.flatMap((context) => ([0, 1, 2] as const).map((form): Shape => ({ rows, context, form }))),
)

const FORMS = [{}, { temperature: 0.8 }, { temperature: 0.8, logprobs: 1 }].map(samplingOf)
const rowsOf = ({ rows, context, form }: Shape): DecodeRows => ({
  ...{ rows, context, blockSize: 16, vocabSize: model.vocabSize, adapters: [] },
  sampling: FORMS[form],
})

t.test('graphs of more shapes than are kept', needsHollow, async (t) => {
  t.ok(SHAPES.length > MOST_GRAPHS, `${SHAPES.length} shapes`)
  const engine = await startNative(model, { rows: MOST_ROWS, blocks: MOST_ROWS * 16, maxModelLen: 256 })
  t.teardown(() => engine.close())
  /** Captures and replays of some steps of one shape. */
  const run = async (shape: Shape, steps: number) => {
    takeLog()
    for (let i = 0; i < steps; i++) t.equal((await decodeStep(engine, rowsOf(shape))).warning, undefined)
    const log = takeLog()
    t.same(broken(log), [])
    return { captures: capturesOf(log).length, replays: log.filter((line) => line.startsWith('replay')).length }
  }
  // The largest comes first: no buffer moves afterwards.
  await run(SHAPES.at(-1) as Shape, 1)
  for (const shape of SHAPES) t.same(await run(shape, 1), { captures: 0, replays: 0 }, 'a shape that came once is not captured')
  for (const shape of SHAPES.slice(0, -1)) t.equal((await run(shape, RUNS_BEFORE)).captures, 1, 'at its third run it is')
  const [first] = SHAPES
  const latest = SHAPES.at(-2) as Shape
  t.same(await run(latest, 4), { captures: 0, replays: 4 }, 'the latest is replayed')
  t.same(await run(first, RUNS_BEFORE), { captures: 0, replays: 0 }, 'the first gave way')
  t.same(await run(first, 2), { captures: 1, replays: 2 }, 'and is captured again')
})
