/**
 * A prompt's chunks on the base and on one rank-16 adapter on all seven projections (issue 14: attention, LoRA and sampling below a tenth of the int8 step), the 135M-parameter shape.
 * Base and adapter alternate; times are the native step's: what passed, and what the processor spent on all threads, which says less of what else the machine does. What of a chunk is attention, LoRA or products a sampling profiler says best:
 * `perf record -e cpu-clock node dist/bench/prefill.js --only adapter`, then `perf report --no-children`.
 * `node dist/bench/prefill.js [--rounds 15] [--tokens 1024] [--chunk 256] [--threads 2] [--quantization int8 | --dtype bfloat16] [--adapter-dtype float16] [--kv-cache-dtype bfloat16] [--only base | adapter]`
 */
import { parseArgs } from 'node:util'
import { loadAdapter } from '../adapters-store/index.ts'
import type { AdapterDtype, CacheDtype } from '../native/types.ts'
import { blockBytesOf } from '../runtime/model/block-size.ts'
import { buildModel } from '../runtime/model/index.ts'
import { startNativeEngine } from '../test/support/native-step.ts'
import type { Precision } from './cpu-precisions.ts'
import { residentsOf, slotInput } from './decode-batch.ts'
import { model135m } from './model135m.ts'
import { heading, median, table } from './report.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' },
    tokens: { type: 'string', default: '1024' },
    chunk: { type: 'string', default: '256' },
    threads: { type: 'string', default: '2' },
    dtype: { type: 'string' },
    quantization: { type: 'string' },
    'adapter-dtype': { type: 'string', default: 'float16' },
    'kv-cache-dtype': { type: 'string' },
    only: { type: 'string' },
  },
})
const BLOCK_SIZE = 16
const tokens = Number(values.tokens)
const chunk = Number(values.chunk)
const adapterDtype = values['adapter-dtype'] as AdapterDtype
const quantization = values.dtype === undefined ? (values.quantization ?? 'int8') : values.quantization

const model = model135m(1)
const built = buildModel(model.directory, {
  dtype: values.dtype as Precision['dtype'],
  quantization: quantization as Precision['quantization'],
  cacheDtype: values['kv-cache-dtype'] as CacheDtype | undefined,
})
const blockBytes = blockBytesOf(built, 'cpu', BLOCK_SIZE)
const image = loadAdapter(model.names[0], `${model.adapters}/${model.names[0]}`, built.base, { dtype: adapterDtype, blockBytes })
const blocks = Math.ceil(tokens / BLOCK_SIZE)
const engine = await startNativeEngine(built, {
  cacheDtype: built.cacheDtype,
  adapterDtype,
  threads: Number(values.threads),
  blockSize: BLOCK_SIZE,
  blockCount: blocks + image.blocks,
  maxBatchTokens: chunk,
  maxSequences: 1,
  maxModelLen: tokens,
})
const [resident] = residentsOf([image], blocks)
engine.putAdapter(resident)
const places = Int32Array.from(Array.from({ length: blocks }, (_, place) => [0, place, place]).flat())
const prompt = Int32Array.from({ length: tokens }, (_, i) => (i * 7919 + 11) % built.vocabSize)

/** Milliseconds of each chunk of one prompt: those that passed, and the processor's. The last chunk samples a token. */
async function prefill(adapter: boolean): Promise<[passed: number, processor: number][]> {
  engine.admit(slotInput(0, prompt, adapter ? [resident] : []))
  const took: [number, number][] = []
  for (let past = 0; past < tokens; past += chunk) {
    const count = Math.min(chunk, tokens - past)
    const sequences = Int32Array.from([0, past, count, 0, 0, past + count === tokens ? 1 : 0, 0, 0, 0])
    const started = performance.now()
    const before = process.cpuUsage()
    await engine.step({ sequences, blocks: past === 0 ? places : new Int32Array(0) })
    const { user, system } = process.cpuUsage(before)
    took.push([performance.now() - started, (user + system) / 1000])
  }
  engine.release(0)
  return took
}

const kinds = ['base', 'adapter'].filter((kind) => values.only === undefined || values.only === kind)
const times: [number, number][][][] = kinds.map(() => [])
for (let round = -1; round < Number(values.rounds); round++)
  for (const [k, kind] of kinds.entries()) {
    const took = await prefill(kind === 'adapter')
    if (round >= 0) times[k].push(took)
  }
engine.close()

console.log(
  heading(
    `A prompt of ${tokens} tokens in chunks of ${chunk}, ${quantization ?? values.dtype}, cache in ${built.cacheDtype}, ${values.threads} threads`,
  ),
)
const rows = times[0][0].map((_, i) => {
  const of = times.map((rounds) => rounds.map((took) => took[i]))
  const cells = of.flatMap((one) => {
    const [passed, processor] = [0, 1].map((which) => one.map((both) => both[which]))
    return [median(passed), Math.min(...passed), median(processor), Math.min(...processor)].map((ms) => ms.toFixed(1))
  })
  return [`${i * chunk} to ${Math.min(tokens, (i + 1) * chunk)}`, ...cells]
})
console.log(table(['tokens', ...kinds.flatMap((kind) => [`${kind}, ms`, 'least', 'processor', 'least'])], rows))
