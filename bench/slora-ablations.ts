/**
 * The ablations of S-LoRA's evaluation (MLSys 2024) on its own synthetic traces, at full length: one pool against a split of it and against contiguous memory; adapter clustering; early abort against first come, first
 * served and newest first. The engine's core, scheduler and pool are the product's. The model behind them is a clock that moves by what each step takes, fitted to the real engine in the same run (`--saved`: to numbers of
 * docs/benchmarks.md), so that a trace of five minutes takes seconds and nothing else on the machine has a part in it. What the product does not have (a split, contiguous memory, newest first) lives in bench/slora/ alone.
 * Before that one short trace runs on the real engine and on the virtual one: how near they are.
 *   targets: one pool completes what the best split and contiguous memory do, or more; clustering does no harm; early abort has more first tokens in time than the others
 * `node dist/bench/slora-ablations.js [--model 135m] [--pool MiB] [--duration 300] [--overload 1.25] [--adapters 5,20,50,100,200] [--only memory,cluster,abort] [--saved]`; needs python3 with numpy.
 */
import { parseArgs } from 'node:util'
import { heading } from './report.ts'
import { abortAblation } from './slora/abort-ablation.ts'
import { calibrate } from './slora/calibration.ts'
import { clusterAblation } from './slora/cluster-ablation.ts'
import { type Ground, loadOf, resultTable } from './slora/ground.ts'
import { loaded, Machine } from './slora/machine.ts'
import { memoryAblation } from './slora/memory-ablation.ts'
import { SAVED } from './slora/saved-cost.ts'
import { shapeOf } from './slora/workload.ts'

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: '135m' },
    pool: { type: 'string', default: '768' },
    duration: { type: 'string', default: '300' },
    overload: { type: 'string', default: '1.25' },
    adapters: { type: 'string', default: '5,20,50,100,200' },
    only: { type: 'string', default: 'memory,cluster,abort' },
    saved: { type: 'boolean', default: false },
  },
})
/** Of the paper: its lengths, and its time for a first token. */
const LENGTHS: [number, number] = [8, 512]
const SLO_MS = 6000
/** Requests that the cost is fitted to, twice; seconds of the trace that runs on the real engine too. */
const FITTED = { demo: 200, '135m': 32 }
const REAL_SECONDS = 40

const counts = values.adapters.split(',').map(Number)
const most = Math.max(...counts)
const poolMib = Number(values.pool)
const shape = shapeOf(values.model)
const { native, info } = await loaded(shape, poolMib * 2 ** 20)
const machine = new Machine(shape, info, most)
const { vocabSize: vocabulary, blockCount, blockBytes, blockSize } = info
console.log(
  heading(
    `S-LoRA's ablations in virtual time, the ${values.model} model, a pool of ${poolMib} MiB: ${blockCount * blockSize} tokens`,
  ),
)
const sizes = machine.images.slice(0, 4).map(({ image, blocks, frames }) => {
  const tokens = (blocks + (frames * info.frameBytes) / blockBytes) * blockSize
  return `${(image.byteLength / 1e6).toFixed(1)} MB (${tokens.toFixed(0)} tokens' KV)`
})
console.log(`adapters of ranks 8, 16, 32 and 64 on q, k, v and o: ${sizes.join(', ')}`)

const engine = machine.watched(native)
const measured = values.saved ? undefined : await calibrate(machine, engine, vocabulary, FITTED[shape.name])
const cost = measured?.cost ?? SAVED[shape.name]
if (!cost) throw new Error(`nothing is saved for the ${shape.name} model: run it without --saved`)
const from = measured
  ? `fitted to ${measured.steps} steps, of which the middle one is off by ${(100 * measured.errors.median).toFixed(0)} % and nine in ten by no more than ${(100 * measured.errors.p90).toFixed(0)} %`
  : 'saved ones'
console.log(`costs, ${from}, in ms:`)
console.log(JSON.stringify(cost, (_, value) => (typeof value === 'number' ? Number(value.toPrecision(3)) : value)))

const ground: Ground = { machine, cost, vocabulary, lengths: LENGTHS, rate: 1, duration: Number(values.duration), sloMs: SLO_MS }
const atOnce = loadOf({ ...ground, duration: 200 }, { adapters: 5 })
const capacity = await machine.virtually(cost, { ...atOnce, requests: atOnce.requests.map((request) => ({ ...request, at: 0 })) })
ground.rate = Number((Number(values.overload) * capacity.requestsPerS).toPrecision(3))
console.log(
  `capacity with 5 adapters: ${capacity.requestsPerS.toFixed(3)} requests/s; offered: ${ground.rate} for ${values.duration} s, prompts and answers of ${LENGTHS[0]} to ${LENGTHS[1]} tokens, first token in time within ${SLO_MS / 1e3} s`,
)
if (measured) {
  const load = loadOf({ ...ground, duration: REAL_SECONDS }, { adapters: most })
  const real = (await machine.really(engine, load)).result
  const virtual = await machine.virtually(cost, load)
  console.log(`\n${load.requests.length} requests in ${REAL_SECONDS} s on the real engine and on the virtual one`)
  console.log(
    resultTable(
      ['engine'],
      [
        [['real'], real],
        [['virtual'], virtual],
      ],
    ),
  )
}
native.close()

const only = values.only.split(',')
if (only.includes('memory')) {
  console.log('\nOne pool, a split, contiguous memory')
  await memoryAblation(ground, counts)
}
if (only.includes('cluster')) {
  console.log(`\nAdapter clustering, ${most} adapters`)
  await clusterAblation(ground, most)
}
if (only.includes('abort')) {
  console.log(`\nEarly abort, ${most} adapters`)
  await abortAblation(ground, most)
}
