/**
 * What a step takes when others use the cores too: a decode step of 32 rows on the 135M-parameter shape with 2 threads, alone and beside one and two processes that only
 * compute (`nice` 0). A fair scheduler leaves three busy threads on two cores two thirds of a core each, so that a step should take 1.5 × as long, and 2 × beside two.
 * The three turn about in one run. `node dist/bench/shared-cores.js [--rounds 8] [--steps 20] [--precision float32] [--rows 32] [--threads 2]`
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { parseArgs } from 'node:util'
import { buildModel } from '../runtime/model/index.ts'
import { startNativeEngine } from '../test/support/native-step.ts'
import { CPU_PRECISIONS } from './cpu-precisions.ts'
import { decodeStep } from './decode-batch.ts'
import { othersShare } from './machine-share.ts'
import { model135m } from './model135m.ts'
import { heading, quantile, sleep, table } from './report.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '8' },
    steps: { type: 'string', default: '20' },
    precision: { type: 'string', default: 'float32' },
    rows: { type: 'string', default: '32' },
    threads: { type: 'string', default: '2' },
  },
})
const BLOCK_SIZE = 16
const CONTEXT = 128
const OTHERS = [0, 1, 2]
/** A turn counts when others than those that belong here took less of the machine. */
const QUIET = 0.04
const rows = Number(values.rows)
const threads = Number(values.threads)

const model = buildModel(model135m(0).directory, CPU_PRECISIONS[values.precision])
const engine = await startNativeEngine(model, {
  threads,
  adapterDtype: 'float16',
  blockSize: BLOCK_SIZE,
  blockCount: rows * Math.ceil((CONTEXT + 1) / BLOCK_SIZE),
  maxBatchTokens: rows,
  maxSequences: rows,
  maxModelLen: CONTEXT + 1,
})
const step = async () => {
  const { stepMs } = await decodeStep(engine, {
    rows,
    context: CONTEXT,
    blockSize: BLOCK_SIZE,
    vocabSize: model.vocabSize,
    adapters: [],
  })
  return stepMs
}
const busyProcess = (): ChildProcess => spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' })

console.log(
  heading(
    `A decode step of ${rows} rows, 135M parameters in ${values.precision}, ${threads} threads, beside processes that only compute`,
  ),
)
for (let i = 0; i < 5; i++) await step()
const times: number[][] = OTHERS.map(() => [])
let left = 0
for (let round = 0; round < Number(values.rounds); round++)
  for (const [i, count] of OTHERS.entries()) {
    const others = Array.from({ length: count }, busyProcess)
    await sleep(300)
    const share = othersShare(others.map(({ pid }) => pid!))
    const turn: number[] = []
    for (let n = 0; n < Number(values.steps); n++) turn.push(await step())
    if (share() < QUIET) times[i].push(...turn)
    else left++
    for (const other of others) other.kill('SIGKILL')
    await sleep(100)
  }
engine.close()
if (left)
  console.log(
    `${left} turns do not count: a process that is not of this benchmark took ${QUIET * 100} % of the machine or more\n`,
  )
if (times.some((turn) => turn.length === 0)) throw new Error('no turn was quiet enough: try again when less else runs')
const mean = (list: number[]) => list.reduce((sum, one) => sum + one, 0) / list.length
console.log(
  table(
    ['others', 'mean ms', 'median ms', 'p90 ms', 'mean against alone'],
    OTHERS.map((count, i) => [
      `${count} (${times[i].length} steps)`,
      ...[mean(times[i]), quantile(times[i], 0.5), quantile(times[i], 0.9)].map((ms) => ms.toFixed(1)),
      `${(mean(times[i]) / mean(times[0])).toFixed(2)} ×`,
    ]),
  ),
)
