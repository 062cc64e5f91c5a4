/**
 * Steps in every precision of the CPU, side by side (issue 14): the 135M-parameter shape or the 1B one, base alone, each precision against float32. One engine of each is open, and they
 * take turns, so that a slow moment of the machine hits neighbours alike; ratios are taken within a round, then their median. Beside the time that passes the processor's is
 * measured, of all threads with what they spin: it says less of what else the machine does.
 * One row is also held to its weights' bytes at what all cores read from memory together in the same round (target ≤ 1.15 × on the 1B shape): what a virtual machine gets of its host's memory changes within seconds.
 * Then what each keeps in memory: a process of its own starts the engine and runs a step, and says how its resident memory is made up.
 * `node dist/bench/precisions.js [--rounds 30] [--threads 2] [--only bfloat16,int8] [--context 128] [--shape 135m | 1b] [--no-memory]`
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { NativeEngine, StepBatch } from '../native/types.ts'
import { type BuiltModel, buildModel } from '../runtime/model/index.ts'
import { startNativeEngine } from '../test/support/native-step.ts'
import { readBandwidth } from './bandwidth.ts'
import { CPU_PRECISIONS, precisionsNamed } from './cpu-precisions.ts'
import { admitRows, releaseRows, slotInput } from './decode-batch.ts'
import { model1b, model135m, projectionsOf, type Shape } from './model135m.ts'
import { heading, median, sleep, table } from './report.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '30' },
    threads: { type: 'string', default: '2' },
    only: { type: 'string', default: Object.keys(CPU_PRECISIONS).join(',') },
    context: { type: 'string', default: '128' },
    shape: { type: 'string', default: '135m' },
    'no-memory': { type: 'boolean', default: false },
    /** Of the process that measures memory: the precision. */
    resident: { type: 'string' },
  },
})
const ROWS = 32
const PROMPT = 256
const BLOCK_SIZE = 16
const context = Number(values.context)
const model = values.shape === '1b' ? model1b(0) : model135m(0)
const { directory } = model
const precisions = precisionsNamed(values.only)

function open(model: BuiltModel): Promise<NativeEngine> {
  const perSequence = Math.ceil((context + 1) / BLOCK_SIZE)
  return startNativeEngine(model, {
    threads: Number(values.threads),
    adapterDtype: 'float16',
    blockSize: BLOCK_SIZE,
    blockCount: Math.max(ROWS * perSequence, PROMPT / BLOCK_SIZE),
    maxBatchTokens: PROMPT,
    maxSequences: ROWS,
    maxModelLen: Math.max(context + 1, PROMPT),
  })
}

/** Bytes that a step of one row must read: the products' weights, the head's too. In 4 bits each 32 have two float16 beside them, and the head has 8 bits. */
function weightBytes({ hidden, layers, vocabulary, ...rest }: Shape, precision: string): number {
  const head = hidden * vocabulary
  const rows = projectionsOf({ hidden, layers, vocabulary, ...rest }).reduce((sum, [, input, output]) => sum + input * output, 0)
  const each: Record<string, [projections: number, head: number]> = {
    ...{ float32: [4, 4], bfloat16: [2, 2], float16: [2, 2], int8: [1, 1], int4: [0.5 + 4 / 32, 1] },
  }
  return layers * rows * each[precision][0] + head * each[precision][1]
}

/** Milliseconds of a step: those that passed, and the processor's. */
type Times = [passed: number, processor: number]

async function timed(engine: NativeEngine, batch: StepBatch): Promise<Times> {
  const started = performance.now()
  const before = process.cpuUsage()
  await engine.step(batch)
  const { user, system } = process.cpuUsage(before)
  return [performance.now() - started, (user + system) / 1000]
}

/** A decode step of so many rows. */
async function decode(engine: NativeEngine, rows: number, vocabSize: number): Promise<Times> {
  const took = await timed(engine, admitRows(engine, { rows, context, blockSize: BLOCK_SIZE, vocabSize, adapters: [] }))
  releaseRows(engine, rows)
  return took
}

/** A prompt's one step. */
async function prefill(engine: NativeEngine, vocabSize: number): Promise<Times> {
  engine.admit(
    slotInput(
      0,
      Int32Array.from({ length: PROMPT }, (_, i) => (i * 7919 + 11) % vocabSize),
    ),
  )
  const blocks = Array.from({ length: PROMPT / BLOCK_SIZE }, (_, place) => [0, place, place]).flat()
  const sequences = Int32Array.from([0, 0, PROMPT, 0, 0, 1, 0, 0, 0])
  const took = await timed(engine, { sequences, blocks: Int32Array.from(blocks) })
  engine.release(0)
  return took
}

/** MiB by kind of this process's resident memory, and the most that it has been. */
function residentMiB(): Record<'anonymous' | 'file' | 'peak', number> {
  const status = readFileSync('/proc/self/status', 'utf8')
  const of = (field: string) => Math.round(Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) / 1024)
  return { anonymous: of('RssAnon'), file: of('RssFile'), peak: of('VmHWM') }
}

if (values.resident !== undefined) {
  const empty = residentMiB()
  const started = performance.now()
  const model = buildModel(directory, CPU_PRECISIONS[values.resident])
  const engine = await open(model)
  const seconds = (performance.now() - started) / 1000
  await decode(engine, 1, model.vocabSize)
  console.log(JSON.stringify({ ...residentMiB(), before: empty.anonymous, seconds }))
  engine.close()
  process.exit()
}

console.log(heading(`Steps in each precision, ${values.shape.toUpperCase()} shape, base alone, ${values.threads} threads`))
/** Bytes a second, in each round. */
const bandwidths: number[] = []
const engines: { engine: NativeEngine; vocabSize: number }[] = []
for (const [, options] of precisions) {
  const model = buildModel(directory, options)
  engines.push({ engine: await open(model), vocabSize: model.vocabSize })
}
const kinds: Record<string, (engine: NativeEngine, vocabSize: number) => Promise<Times>> = {
  '1 row': (engine, vocabSize) => decode(engine, 1, vocabSize),
  [`${ROWS} rows`]: (engine, vocabSize) => decode(engine, ROWS, vocabSize),
  [`${PROMPT} prompt tokens`]: prefill,
}
const names = precisions.map(([name]) => name)
const times: Times[][][] = Object.keys(kinds).map(() => names.map(() => []))
for (let round = -2; round < Number(values.rounds); round++) {
  const read = await readBandwidth()
  if (round >= 0) bandwidths.push(read)
  // What comes right after it pays for its threads' end and for cold caches.
  for (const { engine, vocabSize } of engines) await decode(engine, 1, vocabSize)
  for (const [k, measure] of Object.values(kinds).entries())
    for (const [p, { engine, vocabSize }] of engines.entries()) {
      await sleep(5) // the session before it has its threads asleep by then
      const took = await measure(engine, vocabSize)
      if (round >= 0) times[k][p].push(took)
    }
}
for (const { engine } of engines) engine.close()
for (const [which, what] of ['passed', 'processor'].entries()) {
  const of = times.map((kind) => kind.map((rounds) => rounds.map((both) => both[which])))
  const rows = Object.keys(kinds).map((kind, k) => [
    kind,
    ...of[k].map((one) => median(one).toFixed(1)),
    ...of[k].slice(1).map((one) => median(one.map((time, i) => time / of[k][0][i])).toFixed(3)),
  ])
  const head = [`ms, ${what}`, ...names, ...names.slice(1).map((name) => `${name} / float32`)]
  console.log(`${table(head, rows)}\n`)
}
const ofBytes = names.map((name, p) => {
  const bytes = weightBytes(model.shape, name)
  const took = times[0][p].map(([passed]) => passed)
  const ratio = median(took.map((ms, round) => ms / ((1000 * bytes) / bandwidths[round])))
  return [
    name,
    (bytes / 1e6).toFixed(0),
    median(took).toFixed(2),
    (bytes / 1e6 / median(took)).toFixed(1),
    `${ratio.toFixed(2)} ×`,
  ]
})
const [slowest, middle, fastest] = [Math.min(...bandwidths), median(bandwidths), Math.max(...bandwidths)].map((rate) =>
  (rate / 1e9).toFixed(1),
)
const bytesHead = ['1 row', 'MB of weights', 'ms', 'GB/s', `of its bytes, at ${middle} GB/s (${slowest} to ${fastest})`]
console.log(`${table(bytesHead, ofBytes)}\n`)
if (!values['no-memory']) {
  const rows = names.map((name) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [...process.argv.slice(1), '--resident', name], {
      encoding: 'utf8',
    })
    if (status !== 0) throw new Error(stderr)
    const { anonymous, file, peak, before, seconds } = JSON.parse(stdout)
    return [name, anonymous - before, anonymous, file, peak, seconds.toFixed(1)]
  })
  const head = ['MiB', 'added by the engine', 'of the process alone', 'mapped files', 'at the most', 'load s']
  console.log(`Resident after one step, with a pool for ${ROWS} sequences of ${context + 1} tokens\n${table(head, rows)}`)
}
