/**
 * Decode steps of a model with 1, 8, 32 and 128 rows: the base alone, and as many different adapters of each set (a rank on some modules), through the whole
 * engine, in turns within one run. The floor is the bytes that a step must read at the bandwidth measured in the same check (`--bandwidth FILE`): every
 * weight but the embedding table once, each row's cache, each adapter once. Targets: base ≤ 1.25 × the weights' bytes; 32 different rank-16 adapters on q, k, v, o
 * ≤ 1.10 × base (on all seven projections their bytes alone are more); sampling ≤ 3 % of a step; the first token of a cold rank-16 adapter ≤ 10 ms.
 * `node dist/bench/gpu/step.js --model DIR/base --sets DIR/adapters/attention-r16,DIR/adapters/all-r16 [--rows 32,1,8,128] [--context 512] [--new 40] [--rounds 3]
 * [--device cpu]`. Of each set `--packed` adapters are packed from their files, the rest are copies of those under digests of their own, in `--adapter-gib` of
 * host memory at most.
 */
import { existsSync, readFileSync } from 'node:fs'
import { readBaseModel } from '../../runtime/model/index.ts'
import { median, table } from '../report.ts'
import { readArgs } from './args.ts'
import { measureCold } from './cold.ts'
import { type DecodeTimes, decodeTimes, type Generate, promptOf, startBenchEngine } from './engine.ts'
import { BASE_ALONE, loadVariant, type Variant } from './variants.ts'

const { device, results, values } = readArgs({
  model: '',
  sets: '',
  rows: '32,1,8,128',
  context: '512',
  new: '40',
  rounds: '3',
  dtype: 'auto',
  cold: '16',
  packed: '4',
  'adapter-gib': '16',
  bandwidth: '',
})
const rowCounts = values.rows.split(',').map(Number)
const context = Number(values.context)
const newTokens = Number(values.new)
/** The targets speak of 32 rows, which come first: a run that is cut short has told them. */
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
const poolGiB = ((info.blockCount * info.blockBytes) / 2 ** 30).toFixed(1)
console.log(`${info.deviceName}, ${info.dtype}, pool of ${poolGiB} GiB in blocks of ${info.blockSize} tokens`)

const widthOf = (dtype: string) => (dtype === 'float32' ? 4 : 2)
/** What a decode step reads of the base: all but the embedding table, of which it reads a row each; a tied table is also the head. */
const weightBytes = Object.entries(base.tensors)
  .filter(([name]) => base.tiedEmbeddings || !name.endsWith('embed_tokens.weight'))
  .reduce((sum, [, tensor]) => sum + tensor.length * (widthOf(info.dtype) / widthOf(tensor.dtype)), 0)
const cacheBytesPerToken = info.blockBytes / info.blockSize
const bandwidth = existsSync(values.bandwidth)
  ? (JSON.parse(readFileSync(values.bandwidth, 'utf8')) as { read_bytes_per_s: number }).read_bytes_per_s
  : Number.NaN
const floorMs = (bytes: number) => (bytes / bandwidth) * 1e3
const ratioText = (ratio: number) => (Number.isNaN(ratio) ? '–' : ratio.toFixed(2))
results.number('weight_bytes', weightBytes)
results.number('cache_bytes_per_token', cacheBytesPerToken)

const started = performance.now()
const wanted = { count: Math.max(...rowCounts), packed: Number(values.packed), bytes: Number(values['adapter-gib']) * 2 ** 30 }
const variants: Variant[] = [BASE_ALONE, ...values.sets.split(',').map((set) => loadVariant(engine, base, set, wanted))]
const count = variants.reduce((sum, one) => sum + one.images.length, 0)
console.log(`${count} adapters ready in ${((performance.now() - started) / 1e3).toFixed(1)} s`)

const asksOf = (rows: number, { images }: Variant): Generate[] =>
  Array.from({ length: rows }, (_, r) => {
    const image = images[r % Math.max(1, images.length)]
    const adapter = image && { name: image.name, digest: image.digest }
    return { promptIds: promptOf(r, context, info.vocabSize), newTokens, adapter }
  })

interface Measured {
  /** Medians in milliseconds. */
  run: number
  sample: number
  wall: number
  adapters: number
}

/** Every variant in turn; those left out never had a step in which each row decoded a token. */
async function measure(rows: number): Promise<Map<Variant, Measured>> {
  const all = new Map(variants.map((variant): [Variant, DecodeTimes] => [variant, { run: [], sample: [], wall: [] }]))
  // Round -1 prefills (later rounds find their prompts' cache), brings the adapters in and captures the graphs.
  for (let round = -1; round < Number(values.rounds); round++)
    for (const [variant, kept] of all) {
      const times = await decodeTimes(engine, asksOf(rows, variant))
      if (round >= 0) for (const part of ['run', 'sample', 'wall'] as const) kept[part].push(...times[part])
    }
  const measured = new Map<Variant, Measured>()
  for (const [variant, { run, sample, wall }] of all) {
    if (wall.length === 0) continue
    const adapters = Math.min(rows, variant.images.length)
    measured.set(variant, { run: median(run), sample: median(sample), wall: median(wall), adapters })
  }
  return measured
}

/** What a step of all rows must read at the least: weights, cache, and the adapters of the variant. */
const bytesOf = (rows: number, adapters: number, { adapterBytes }: Variant) =>
  weightBytes + rows * context * cacheBytesPerToken + adapters * adapterBytes

/** The table's rows on the targets. */
function judge(rows: number, measured: Map<Variant, Measured>): void {
  const alone = measured.get(BASE_ALONE)
  if (!alone) return
  const name = `base step, ${rows} rows`
  const ratio = alone.wall / floorMs(weightBytes)
  const weights = `${(weightBytes / 1e9).toFixed(2)} GB of weights`
  const withCache = `${ratioText(alone.wall / floorMs(bytesOf(rows, 0, BASE_ALONE)))} × with the cache`
  if (Number.isNaN(ratio))
    results.target('base', name, `${alone.wall.toFixed(2)} ms`, null, `no bandwidth measured, so no floor; ${weights}`)
  else
    results.target(
      'base',
      name,
      `${ratio.toFixed(3)} × (${alone.wall.toFixed(2)} ms; ${withCache})`,
      ratio <= 1.25,
      `≤ 1.25 × ${floorMs(weightBytes).toFixed(2)} ms, ${weights}`,
    )
  for (const [variant, one] of measured) {
    if (variant === BASE_ALONE) continue
    const extra = one.wall / alone.wall
    const bytes = bytesOf(rows, one.adapters, variant) / bytesOf(rows, 0, variant)
    const value = `${extra.toFixed(3)} × base (${one.wall.toFixed(2)} ms; bytes alone ${bytes.toFixed(3)} ×)`
    const key = `adapters${variant.modules === 'attention' ? '' : `-${variant.modules}`}${variant.rank === 16 ? '' : `-r${variant.rank}`}`
    // The target speaks of rank 16, and is out of reach by bytes alone on all seven projections.
    const within = variant.rank === 16 && variant.modules === 'attention'
    results.target(
      key,
      `step, ${one.adapters} adapters, ${variant.name}`,
      value,
      within ? extra <= 1.1 : null,
      within ? '≤ 1.10' : 'no target',
    )
  }
  const share = alone.sample / alone.wall
  if (alone.sample === 0) results.row(`sampling, ${rows} rows`, 'not here', 'the engine reports no time for it')
  else results.target('sampling', `sampling, ${rows} rows`, `${(100 * share).toFixed(2)} % of a step`, share <= 0.03, '≤ 3 %')
}

// The larger of the two: all seven projections.
const rank16 = variants.findLast(({ rank }) => rank === 16)
const tableRows: (string | number)[][] = []
for (const rows of rowCounts) {
  const measured = await measure(rows)
  const alone = measured.get(BASE_ALONE)
  for (const variant of variants) {
    const one = measured.get(variant)
    if (!one) {
      results.row(
        `step, ${rows} rows, ${variant.name}`,
        'MISS',
        'never did all rows decode in one step: the pool holds too few of them',
      )
      continue
    }
    results.number(`${rows} rows, ${variant.name}`, one)
    tableRows.push([
      rows,
      one.adapters === 0 ? 'base alone' : `${one.adapters} × ${variant.name}`,
      one.run.toFixed(2),
      one.sample.toFixed(3),
      one.wall.toFixed(2),
      alone ? (one.wall / alone.wall).toFixed(3) : '–',
      ratioText(one.wall / floorMs(weightBytes)),
      ratioText(one.wall / floorMs(bytesOf(rows, one.adapters, variant))),
      (bytesOf(rows, one.adapters, variant) / bytesOf(rows, 0, variant)).toFixed(3),
    ])
  }
  if (rows === targetRows) {
    judge(rows, measured)
    if (rank16) await measureCold(engine, rank16.images, Number(values.cold), results)
  }
}
console.log(
  table(['rows', 'what', 'graph ms', 'sampling ms', 'step ms', '× base', '× weights', '× all bytes', 'bytes × base'], tableRows),
)

await engine.close()
