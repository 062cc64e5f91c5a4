/**
 * One decode step of 32 sequences against its floor (issue 2, "What it must show", 3a to 3c), on the 135M-parameter shape with 2 threads.
 *   (a) floor   the base graph's matrix products alone
 *   (b) base    a step of 32 rows, no adapter:               target ≤ 1.25 × (a)
 *   (c) mixed   32 rows on 32 different rank-16 adapters:     target ≤ (b) + 1.5 × (the adapters' bytes / the measured read bandwidth)
 * The three alternate in one run; times are the native step's: attention, sampling and all, scheduling and HTTP excluded.
 * The targets are float32's; with other weights the floor stays float32's products. Precisions side by side: bench/precisions.ts.
 * `node dist/bench/step.js [--rounds 60] [--context 128] [--adapter-dtype float16] [--kv-cache-dtype float32] [--dtype bfloat16 | --quantization int8]`
 */
import { parseArgs } from 'node:util'
import { loadAdapter } from '../adapters-store/index.ts'
import type { AdapterDtype, CacheDtype } from '../native/types.ts'
import { blockBytesOf } from '../runtime/model/block-size.ts'
import { buildModel } from '../runtime/model/index.ts'
import { startNativeEngine } from '../test/support/native-step.ts'
import type { Precision } from './cpu-precisions.ts'
import { decodeStep, residentsOf } from './decode-batch.ts'
import { openFloor } from './floor.ts'
import { model135m } from './model135m.ts'
import { against, heading, median, sleep, table } from './report.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '60' },
    context: { type: 'string', default: '128' },
    'adapter-dtype': { type: 'string', default: 'float16' },
    dtype: { type: 'string', default: 'float32' },
    quantization: { type: 'string' },
    'kv-cache-dtype': { type: 'string', default: 'float32' },
  },
})
const ROWS = 32
const THREADS = 2
const BLOCK_SIZE = 16
const context = Number(values.context)
const adapterDtype = values['adapter-dtype'] as AdapterDtype

console.log(
  heading(
    `A decode step of ${ROWS} sequences, each ${context} tokens long, 135M parameters in ${values.quantization ?? values.dtype}, ${THREADS} threads`,
  ),
)
const model = model135m(ROWS)
const built = buildModel(model.directory, {
  dtype: values.dtype as Precision['dtype'],
  quantization: values.quantization as Precision['quantization'],
  cacheDtype: values['kv-cache-dtype'] as CacheDtype,
})
const blockBytes = blockBytesOf(built, 'cpu', BLOCK_SIZE)
const images = model.names.map((name) =>
  loadAdapter(name, `${model.adapters}/${name}`, built.base, { dtype: adapterDtype, blockBytes }),
)
const adapterBytes = images.reduce((sum, image) => sum + image.image.byteLength, 0)
const blocksPerSequence = Math.ceil((context + 1) / BLOCK_SIZE)
const adapterBlocks = images.reduce((sum, image) => sum + image.blocks, 0)

const engine = await startNativeEngine(built, {
  cacheDtype: built.cacheDtype,
  adapterDtype,
  threads: THREADS,
  blockSize: BLOCK_SIZE,
  blockCount: ROWS * blocksPerSequence + adapterBlocks,
  maxBatchTokens: ROWS,
  maxSequences: ROWS,
  maxModelLen: context + 1,
})
const residents = residentsOf(images, ROWS * blocksPerSequence)
for (const resident of residents) engine.putAdapter(resident)
const rows = { rows: ROWS, context, blockSize: BLOCK_SIZE, vocabSize: built.vocabSize }
const base = { ...rows, adapters: [] }
const mixed = { ...rows, adapters: residents }
const floor = await openFloor(model, THREADS)

const sampling: number[] = []
async function stepTime(batch: typeof mixed): Promise<number> {
  const output = await decodeStep(engine, batch)
  if (output.sequenceStatus.some((status) => status !== 0)) throw new Error('an adapter was not the resident one')
  sampling.push(output.sampleMs)
  return output.stepMs
}
const measured: Record<string, { run: () => Promise<number>; times: number[] }> = {
  '1 row, products alone': { run: () => floor.run(1), times: [] },
  '(a) products alone': { run: () => floor.run(ROWS), times: [] },
  '(b) step, base alone': { run: () => stepTime(base), times: [] },
  [`(c) step, ${ROWS} adapters`]: { run: () => stepTime(mixed), times: [] },
}
// One of each in turn: no cache holds the weights, so a run gains nothing from its like before it, and a slow moment of the machine hits neighbours alike.
for (let round = -3; round < Number(values.rounds); round++)
  for (const one of Object.values(measured)) {
    await sleep(5) // the other session's threads are asleep by then
    const took = await one.run()
    if (round >= 0) one.times.push(took)
  }
await floor.close()
engine.close()

const times = Object.values(measured).map((one) => one.times)
const [single, a, b, c] = times.map(median)
// Ratios and differences are taken within a round, then their median: neighbours in time saw the same machine.
const ratio = median(times[2].map((time, i) => time / times[1][i]))
const extra = median(times[3].map((time, i) => time - times[2][i]))
// One row reads every weight once and computes next to nothing: what it reads a second is what this machine's memory gives two threads.
const bandwidth = floor.weightBytes / single
const allowance = (1.5 * adapterBytes) / bandwidth
const compared = ['', '1', `${ratio.toFixed(3)} × (a)`, `(b) + ${extra.toFixed(2)} ms`]
console.log(
  table(
    ['what', 'median ms', 'fastest ms', 'against'],
    Object.keys(measured).map((what, i) => [
      what,
      [single, a, b, c][i].toFixed(2),
      Math.min(...times[i]).toFixed(2),
      compared[i],
    ]),
  ),
)
console.log(
  `\nweights ${(floor.weightBytes / 1e6).toFixed(0)} MB, adapters ${(adapterBytes / 1e6).toFixed(0)} MB of ${adapterDtype} in the pool`,
)
console.log(
  `read bandwidth ${(bandwidth / 1e6).toFixed(1)} GB/s (the weights at one row), so the adapters' bytes once take ${(allowance / 1.5).toFixed(2)} ms`,
)
console.log(`of a step, sampling takes ${median(sampling).toFixed(2)} ms`)
console.log(against(`(b) ≤ 1.25 × (a): ${ratio.toFixed(3)}`, ratio <= 1.25))
console.log(against(`(c) ≤ (b) + ${allowance.toFixed(2)} ms: (b) + ${extra.toFixed(2)} ms`, extra <= allowance))
