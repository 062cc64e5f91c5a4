/**
 * What adapters take of the pool beside the bytes of their rows, in frames and, as before there were any, in whole blocks: 2,000 of an 8B shape by accounting, over a
 * table that stores nothing, also after thousands of them were replaced; 50 real ones in a real pool; and decode steps with both layouts, in turns.
 * `node dist/bench/frames.js [--adapters 2000] [--replaced 20000] [--rounds 7]`
 */
import { parseArgs } from 'node:util'
import type { SiteFold } from '../adapters-store/fold.ts'
import { pack } from '../adapters-store/pack.ts'
import { layOut } from '../adapters-store/pages.ts'
import type { AdapterDtype, AdapterImage, BaseModel, Site } from '../adapters-store/types.ts'
import { elementBytes } from '../native/floats.ts'
import { type Engine, startEngine } from '../runtime/index.ts'
import { frameBytesOf, LEAST_FRAME_BYTES } from '../runtime/model/frame-size.ts'
import { defaultBlockSize, readBaseModel } from '../runtime/model/index.ts'
import { Pool } from '../runtime/pool/pool.ts'
import { greedy } from '../test/support/greedy.ts'
import { seeded } from '../test/support/pace.ts'
import { model135m } from './model135m.ts'
import { fillUniform } from './random.ts'
import { against, heading, median, quantile, table } from './report.ts'

const { values } = parseArgs({
  options: {
    adapters: { type: 'string', default: '2000' },
    replaced: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '7' },
  },
})
/** Bytes taken against bytes of rows, at most (issue 11, "Frames"). */
const BOUND = 1.1
const LLAMA_8B = { layers: 32, hidden: 4096, kv: 1024, feedForward: 14336, kvHeads: 8, headDim: 128 }
const ATTENTION = ['q_proj', 'v_proj']

function sites8b(): Site[] {
  const { hidden, kv, feedForward, layers } = LLAMA_8B
  const projections: [string, number, number][] = [
    ['self_attn.q_proj', hidden, hidden],
    ['self_attn.k_proj', hidden, kv],
    ['self_attn.v_proj', hidden, kv],
    ['self_attn.o_proj', hidden, hidden],
    ['mlp.gate_proj', hidden, feedForward],
    ['mlp.up_proj', hidden, feedForward],
    ['mlp.down_proj', feedForward, hidden],
  ]
  return Array.from({ length: layers }, (_, layer) => layer).flatMap((layer) =>
    projections.map(([name, inFeatures, outFeatures], i) => {
      const module = `model.layers.${layer}.${name}`
      const place = { index: layer * projections.length + i, kind: 'linear' as const, takesInputScale: false }
      return { ...place, module, inFeatures, outFeatures, weight: `${module}.weight` }
    }),
  )
}

const adapted = (sites: Site[], names: readonly string[] | 'all') =>
  names === 'all' ? sites : sites.filter(({ module }) => names.some((name) => module.endsWith(name)))

/** An image as the pool's accounting sees it: pages, and no bytes. */
interface Accounted {
  image: AdapterImage
  /** Of its rows. */
  bytes: number
}

/** Images of one rank, as many as are asked for; laid out once. */
class Images {
  private readonly sites: Site[]
  private readonly layout: { blockBytes: number; frameBytes: number }
  private readonly byRank = new Map<number, { blocks: number; frames: number; bytes: number }>()
  private made = 0

  constructor(sites: Site[], layout: { blockBytes: number; frameBytes: number }) {
    this.sites = sites
    this.layout = layout
  }

  of(rank: number): Accounted {
    const { blockBytes, frameBytes } = this.layout
    const known = this.byRank.get(rank)
    const size = known ?? this.size(rank)
    if (!known) this.byRank.set(rank, size)
    const digest = (this.made++).toString(16).padStart(64, '0')
    const nothing = { image: new SharedArrayBuffer(0), rows: new Int32Array(0), entries: new Int32Array(0) }
    const { blocks, frames, bytes } = size
    const image = { name: digest, digest, dtype: 'float16' as const, blockBytes, frameBytes, blocks, frames }
    return { image: { ...image, ...nothing, method: 'lora', maxRank: rank }, bytes }
  }

  private size(rank: number) {
    const rows = this.sites.flatMap(({ inFeatures, outFeatures }) =>
      [inFeatures, outFeatures].flatMap((width) => new Array<number>(rank).fill(width * elementBytes('float16'))),
    )
    const { blocks, frames } = layOut(rows, this.layout.blockBytes, this.layout.frameBytes)
    return { blocks, frames, bytes: rows.reduce((sum, bytes) => sum + bytes, 0) }
  }
}

/** What the pool needs of the addon, storing nothing. */
const STORES_NOTHING = { putAdapter() {}, adapterReady: () => true, dropAdapter() {} }
const never = () => false

interface Mix {
  what: string
  names: readonly string[] | 'all'
  rank: (below: (n: number) => number) => number
}

const MIXES: Mix[] = [
  { what: 'rank 8 on q and v', names: ATTENTION, rank: () => 8 },
  { what: 'ranks 8 to 64 on all projections', names: 'all', rank: (below) => 8 * (1 + below(8)) },
  { what: 'ranks 1 to 64, half of them on q and v', names: 'all', rank: (below) => 1 + below(64) },
]

/** Loads them all, then replaces one after the other; the ratio of bytes taken and bytes of rows after each. */
function account(mix: Mix, blockBytes: number, frameBytes: number) {
  const { below } = seeded(11)
  const sites = sites8b()
  const all = new Images(adapted(sites, mix.names), { blockBytes, frameBytes })
  const few = new Images(adapted(sites, ATTENTION), { blockBytes, frameBytes })
  const halves = mix.what.includes('half')
  const next = (i: number) => {
    const made = (halves && i % 2 ? few : all).of(mix.rank(below))
    // Digests of the two kinds apart.
    return { ...made, image: { ...made.image, digest: `${halves && i % 2 ? 'f' : '0'}${made.image.digest.slice(1)}` } }
  }
  const count = Number(values.adapters)
  const there = Array.from({ length: count }, (_, i) => next(i))
  const most = there.reduce((sum, { image }) => sum + image.blocks + (image.frames > 0 ? 1 : 0), 0)
  const pool = new Pool(STORES_NOTHING, 2 * most, 16, blockBytes, undefined, frameBytes)
  const bring = ({ image }: Accounted) => {
    if (!pool.adapters.load(image, pool.now, never)) throw new Error('the pool is too small for the accounting')
  }
  const ratio = () => (pool.adapters.blocks * blockBytes) / there.reduce((sum, { bytes }) => sum + bytes, 0)
  for (const one of there) bring(one)
  const loaded = ratio()
  const replaced = Number(values.replaced)
  const started = performance.now()
  for (let i = 0; i < replaced; i++) {
    const at = below(count)
    const resident = pool.adapters.get(there[at].image.digest)
    if (resident) pool.adapters.evict(resident)
    there[at] = next(at)
    bring(there[at])
  }
  const microseconds = (1000 * (performance.now() - started)) / replaced
  const mean = there.reduce((sum, { bytes }) => sum + bytes, 0) / count
  return { loaded, churned: ratio(), microseconds, mean }
}

console.log(heading('Bytes that adapters take of the pool'))
const { kvHeads, headDim, layers } = LLAMA_8B
const bytesPerToken = layers * 2 * kvHeads * headDim
const devices = [
  { device: 'CUDA, 16 bits', blockBytes: defaultBlockSize(headDim) * bytesPerToken * 2 },
  { device: 'CPU, float32 KV', blockBytes: 16 * bytesPerToken * 4 },
]
let missed = false
const rows = MIXES.flatMap((mix) =>
  devices.map(({ device, blockBytes }) => {
    const frameBytes = frameBytesOf(sites8b(), 'float16', blockBytes)
    const after = account(mix, blockBytes, frameBytes)
    const before = account(mix, blockBytes, blockBytes)
    missed ||= after.loaded > BOUND
    return [
      mix.what,
      `${device}: ${blockBytes >> 20} MiB in ${blockBytes / frameBytes} of ${frameBytes >> 10} KiB`,
      (after.mean / 1e6).toFixed(1),
      before.loaded.toFixed(3),
      after.loaded.toFixed(3),
      after.churned.toFixed(3),
      after.microseconds.toFixed(1),
      against(`≤ ${BOUND}`, after.loaded <= BOUND),
    ]
  }),
)
console.log(`${values.adapters} adapters of an 8B Llama; bytes taken from the pool, as a multiple of those of the rows:`)
console.log(
  table(
    ['adapters', 'block and frames', 'MB each', 'whole blocks', 'frames', `${values.replaced} replaced`, 'µs a replacement', ''],
    rows,
  ),
)

/** Random rank-8 factors on q and v of the 135M shape, packed as the store does. */
function realImage(
  base: BaseModel,
  i: number,
  layout: { dtype: AdapterDtype; blockBytes: number; frameBytes: number },
): AdapterImage {
  let seed = i + 1
  const rank = 8
  const folds: SiteFold[] = adapted(base.sites, ATTENTION).map((site) => {
    const a = new Float32Array(rank * site.inFeatures)
    const b = new Float32Array(rank * site.outFeatures)
    seed = fillUniform(a, 0.02, seed)
    seed = fillUniform(b, 0.02, seed)
    return { site, factors: { rank, a, b, scale: 1 } }
  })
  const digest = (i + 1).toString(16).padStart(64, '0')
  const { dtype, blockBytes } = layout
  return { name: `real ${i}`, digest, dtype, blockBytes, ...pack(folds, layout), method: 'lora', maxRank: rank }
}

const REAL = 50
const model = model135m(1)
const base = readBaseModel(model.directory)

/** An engine on the 135M shape with 50 adapters known to it. `leastFrameBytes` beyond a block's: whole blocks. */
async function started(leastFrameBytes: number): Promise<{ engine: Engine; images: AdapterImage[] }> {
  const engine = await startEngine({
    modelDir: model.directory,
    device: 'cpu',
    dtype: 'float32',
    adapterDtype: 'auto',
    poolBytes: 256 << 20,
    maxBatchTokens: 512,
    maxSequences: REAL,
    threads: 2,
    prefixCache: false,
    leastFrameBytes,
  })
  const { adapterDtype: dtype, blockBytes, frameBytes } = engine.info
  const images = Array.from({ length: REAL }, (_, i) => realImage(base, i, { dtype, blockBytes, frameBytes }))
  for (const image of images) engine.addAdapter(image)
  return { engine, images }
}

/** Every adapter answers a prompt of 16 tokens with `maxTokens`, `width` at once; the tokens of each. */
function answers(engine: Engine, images: AdapterImage[], maxTokens: number, round: string): Promise<number[][]> {
  return Promise.all(
    images.map(
      ({ name, digest }, i) =>
        new Promise<number[]>((resolve, reject) => {
          const promptIds = Array.from({ length: 16 }, (_, p) => 5 + ((i * 31 + p * 7) % 1000))
          const tokens: number[] = []
          const request = { id: `${round} ${name}`, promptIds, sampling: greedy(maxTokens), arrival: Date.now() }
          engine.submit({ ...request, adapters: [{ name, digest, weight: 1 }] }, (output) => {
            tokens.push(...output.tokens)
            if (output.error) reject(new Error(output.error.message))
            else if (output.finish) resolve(tokens)
          })
        }),
    ),
  )
}

const ways = [
  { what: 'whole blocks', ...(await started(1 << 30)) },
  { what: 'frames', ...(await started(LEAST_FRAME_BYTES)) },
]
const told: number[][][] = []
const stepMs = ways.map(() => [] as number[])
for (const [w, { engine, images }] of ways.entries()) {
  told.push(await answers(engine, images, 8, 'first'))
  engine.onStep = (step) => {
    // Decode steps of all of them.
    if (step.tokens === REAL && step.sequences === REAL) stepMs[w].push(step.runMs)
  }
}
for (let round = 0; round < Number(values.rounds); round++)
  for (const { engine, images } of round % 2 ? [...ways].reverse() : ways) await answers(engine, images, 10, `round ${round}`)
console.log(`\n${REAL} real adapters, rank 8 on q and v of the 135M shape, float16, in a real pool on the CPU:`)
console.log(
  table(
    ['', 'bytes of rows', 'blocks', 'bytes taken', 'ratio', 'decode step of all 50, ms: quarter, middle'],
    ways.map(({ what, engine, images }, w) => {
      const bytes = images.reduce((sum, { image }) => sum + image.byteLength, 0)
      const { blocks } = engine.snapshot
      const taken = blocks.adapters * engine.info.blockBytes
      if (what === 'frames') missed ||= taken > BOUND * bytes || engine.snapshot.residentAdapters !== REAL
      return [
        what,
        bytes,
        blocks.adapters,
        taken,
        (taken / bytes).toFixed(3),
        `${quantile(stepMs[w], 0.25).toFixed(1)}, ${median(stepMs[w]).toFixed(1)}`,
      ]
    }),
  ),
)
const same = JSON.stringify(told[0]) === JSON.stringify(told[1])
console.log(against('the same tokens from both', same))
await Promise.all(ways.map(({ engine }) => engine.close()))
process.exitCode = missed || !same ? 1 : 0
