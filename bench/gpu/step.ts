/**
 * Decode steps of a model with 1, 8, 32 and 128 rows: the base alone, and as many different adapters (each folder of `--adapters` is a rank), through the whole
 * engine, in turns within one run. The floor is the bytes that a step must read at the bandwidth measured in the same check (`--bandwidth FILE`): every
 * weight but the embedding table once, and each row's cache. Targets: base ≤ 1.25 × the weights' bytes; 32 different adapters ≤ 1.10 × base; sampling ≤ 3 % of a
 * step; the first token of a cold rank-16 adapter ≤ 10 ms.
 * `node dist/bench/gpu/step.js --model DIR/base --adapters DIR/r16,DIR/r64 [--rows 1,8,32,128] [--context 512] [--new 40] [--rounds 3] [--device cpu]`. Of each
 * folder `--packed` adapters are packed from their files, the rest are copies of those under digests of their own.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { type AdapterImage, loadAdapter } from '../../adapters-store/index.ts'
import { readBaseModel } from '../../runtime/model/index.ts'
import { median, sleep, table } from '../report.ts'
import { readArgs } from './args.ts'
import { type DecodeTimes, decodeTimes, type Generate, generateAll, promptOf, startBenchEngine } from './engine.ts'

const { device, results, values } = readArgs({
  model: '',
  adapters: '',
  rows: '1,8,32,128',
  context: '512',
  new: '40',
  rounds: '3',
  dtype: 'auto',
  cold: '16',
  packed: '4',
  'adapter-gib': '24',
  bandwidth: '',
})
const rowCounts = values.rows.split(',').map(Number)
const context = Number(values.context)
const newTokens = Number(values.new)
const COLD_PROMPT = 16
const targetRows = rowCounts.includes(32) ? 32 : rowCounts[rowCounts.length - 1]

const base = readBaseModel(values.model)
const engine = await startBenchEngine({
  modelDir: values.model,
  device,
  dtype: values.dtype as 'auto',
  maxModelLen: context + newTokens + 1,
  maxSequences: Math.max(...rowCounts),
})
const { info } = engine
console.log(
  `${info.deviceName}, ${info.dtype}, pool of ${((info.blockCount * info.blockBytes) / 2 ** 30).toFixed(1)} GiB in blocks of ${info.blockSize} tokens`,
)

/** What a decode step reads of the base: all but the embedding table, of which it reads a row each; a tied table is also the head. */
const weightBytes = Object.entries(base.tensors)
  .filter(([name]) => base.tiedEmbeddings || !name.endsWith('embed_tokens.weight'))
  .reduce((sum, [, tensor]) => sum + tensor.length * (widthOf(info.dtype) / widthOf(tensor.dtype)), 0)
const cacheBytesPerToken = info.blockBytes / info.blockSize
const bandwidth = existsSync(values.bandwidth)
  ? (JSON.parse(readFileSync(values.bandwidth, 'utf8')) as { read_bytes_per_s: number }).read_bytes_per_s
  : undefined
const floorMs = (bytes: number) => (bandwidth ? (bytes / bandwidth) * 1e3 : Number.NaN)

function widthOf(dtype: string): number {
  return dtype === 'float32' ? 4 : 2
}

interface Variant {
  name: string
  images: AdapterImage[]
}

/** The same rows under another digest: to the engine another adapter, with bytes of its own in host memory and in the pool. Packing a file takes seconds, this none. */
function cloneOf(image: AdapterImage, number: number): AdapterImage {
  const bytes = new SharedArrayBuffer(image.image.byteLength)
  new Uint8Array(bytes).set(new Uint8Array(image.image))
  const digest = createHash('sha256').update(`${image.digest} ${number}`).digest('hex')
  return { ...image, name: `${image.name}-${number}`, digest, image: bytes }
}

/** `count` different adapters of one rank, fewer where they would take more than `--adapter-gib` of host memory. */
function loadFolder(folder: string, count: number): Variant {
  const names = readdirSync(folder)
    .filter((name) => existsSync(path.join(folder, name, 'adapter_config.json')))
    .sort()
    .slice(0, Math.min(count, Number(values.packed)))
  const options = { dtype: info.adapterDtype, blockBytes: info.blockBytes }
  const packed = names.map((name) => loadAdapter(`${path.basename(folder)}-${name}`, path.join(folder, name), base, options))
  const most = Math.max(packed.length, Math.floor((Number(values['adapter-gib']) * 2 ** 30) / packed[0].image.byteLength))
  const images = Array.from({ length: Math.min(count, most) }, (_, i) => packed[i] ?? cloneOf(packed[i % packed.length], i))
  for (const image of images) engine.addAdapter(image)
  return { name: `rank ${packed[0].maxRank}`, images }
}

const started = performance.now()
const variants: Variant[] = [
  { name: 'base', images: [] },
  ...values.adapters.split(',').map((folder) => loadFolder(folder, Math.max(...rowCounts))),
]
console.log(
  `${variants.reduce((sum, one) => sum + one.images.length, 0)} adapters packed in ${((performance.now() - started) / 1e3).toFixed(1)} s`,
)

const asksOf = (rows: number, { images }: Variant): Generate[] =>
  Array.from({ length: rows }, (_, r) => {
    const image = images[r % Math.max(1, images.length)]
    const adapter = image && { name: image.name, digest: image.digest }
    return { promptIds: promptOf(r, context, info.vocabSize), newTokens, adapter }
  })

interface Measured {
  run: number
  sample: number
  wall: number
  adapters: number
}
/** Medians by rows and variant. */
const medians = new Map<string, Measured>()
const tableRows: (string | number)[][] = []
for (const rows of rowCounts) {
  const all = variants.map((): DecodeTimes => ({ run: [], sample: [], wall: [] }))
  // Round -1 prefills (later rounds find their prompts' cache), brings the adapters in and captures the graphs.
  for (let round = -1; round < Number(values.rounds); round++)
    for (const [v, variant] of variants.entries()) {
      const times = await decodeTimes(engine, asksOf(rows, variant))
      if (round < 0) continue
      for (const part of ['run', 'sample', 'wall'] as const) all[v][part].push(...times[part])
    }
  for (const [v, variant] of variants.entries()) {
    const { run, sample, wall } = all[v]
    if (wall.length === 0) throw new Error(`no step of ${rows} rows decoded one token of each: the pool is too small for them`)
    const one = { run: median(run), sample: median(sample), wall: median(wall), adapters: Math.min(rows, variant.images.length) }
    medians.set(`${rows} ${variant.name}`, one)
    const reference = medians.get(`${rows} base`)!
    const floor = floorMs(weightBytes)
    const withCache = floorMs(weightBytes + rows * context * cacheBytesPerToken)
    tableRows.push([
      rows,
      one.adapters === 0 ? 'base alone' : `${one.adapters} × ${variant.name}`,
      one.run.toFixed(2),
      one.sample.toFixed(3),
      one.wall.toFixed(2),
      v === 0 ? '1' : (one.wall / reference.wall).toFixed(3),
      bandwidth ? (one.wall / floor).toFixed(2) : '–',
      bandwidth ? (one.wall / withCache).toFixed(2) : '–',
    ])
    results.number(`${rows} rows, ${variant.name}`, one)
  }
}
console.log(table(['rows', 'what', 'graph ms', 'sampling ms', 'step ms', '× base', '× weights', '× weights+cache'], tableRows))
results.number('weight_bytes', weightBytes)
results.number('cache_bytes_per_token', cacheBytesPerToken)

const step = (variant: string) => medians.get(`${targetRows} ${variant}`)!
const alone = step('base')
if (bandwidth) {
  const ratio = alone.wall / floorMs(weightBytes)
  const detail = `${alone.wall.toFixed(2)} ms, ${ratio.toFixed(2)} × ${floorMs(weightBytes).toFixed(2)} ms (${(weightBytes / 1e9).toFixed(2)} GB of weights; target ≤ 1.25)`
  results.target(`base step, ${targetRows} rows`, ratio <= 1.25, detail)
} else results.row(`base step, ${targetRows} rows`, 'ok', `${alone.wall.toFixed(2)} ms; no bandwidth measured, so no floor`)
for (const { name, images } of variants.slice(1)) {
  const one = step(name)
  const ratio = one.wall / alone.wall
  const what = `step, ${one.adapters} different adapters of ${name}`
  // The target speaks of rank 16; a rank 64's own bytes are four times as many.
  const detail = `${one.wall.toFixed(2)} ms, ${ratio.toFixed(3)} × base (target at rank 16: ≤ 1.10)`
  if (images[0].maxRank <= 16) results.target(what, ratio <= 1.1, detail)
  else results.row(what, 'ok', detail)
}
const share = alone.sample / alone.wall
if (alone.sample === 0) results.row(`sampling, ${targetRows} rows`, 'not here', 'the engine reports no time for it')
else results.target(`sampling, ${targetRows} rows`, share <= 0.03, `${(100 * share).toFixed(2)} % of a step (target ≤ 3 %)`)

/** Time to the first token of one short prompt, engine idle. */
async function firstToken(image: AdapterImage | undefined, seed: number): Promise<number> {
  const adapter = image && { name: image.name, digest: image.digest }
  const begin = performance.now()
  let took = Number.NaN
  const ask = { promptIds: promptOf(90_000 + seed, COLD_PROMPT, info.vocabSize), newTokens: 2, adapter }
  await generateAll(engine, [ask], () => {
    took = performance.now() - begin
  })
  await engine.idle()
  return took
}
/** The same weights under digests of their own are cold again: taken out of the engine and given back, with time for the host memory to be pinned. */
async function coldTokens(images: AdapterImage[], count: number): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    const image = images[i % images.length]
    engine.removeAdapter(image.digest)
    await sleep(20)
    engine.addAdapter(image)
    await sleep(200)
    times.push(await firstToken(image, i))
  }
  return times
}
const rank16 = variants.find(({ images }) => images[0]?.maxRank === 16)
if (rank16) {
  const count = Number(values.cold)
  await firstToken(undefined, 50)
  await firstToken(rank16.images[0], 51)
  const loads = engine.snapshot.counters.adapterLoads
  const cold = await coldTokens(rank16.images, count)
  const loaded = engine.snapshot.counters.adapterLoads - loads
  const warm: number[] = []
  for (let i = 0; i < count; i++) warm.push(await firstToken(rank16.images[0], 100 + i))
  results.number('first_token', { cold, warm, loaded })
  const detail = `median ${median(cold).toFixed(2)} ms, resident ${median(warm).toFixed(2)} ms (target ≤ 10 ms), ${(rank16.images[0].image.byteLength / 1e6).toFixed(0)} MB each`
  if (loaded < count) results.row('first token, cold adapter', 'FAILED', `only ${loaded} of ${count} were cold`)
  else results.target('first token, cold adapter', median(cold) <= 10, detail)
}
await engine.close()
