/**
 * How long adapters of every method take to load at an 8B shape: 32 layers of hidden 4096, feed-forward 14336 and 1024 for keys and values, all seven projections, rank 16.
 * The 32 layers share one layer's random weights (436 MB, so that they stay in the page cache); methods whose images take gigabytes are measured on fewer layers and scaled up.
 * The floor is what any loader must do with the same file: read it, hash it, copy it to fresh memory. Written-out methods are set against reading the base's 14 GB, RandLoRA
 * against its 55.5 TFLOP at the rate of one float32 product, measured before and after it. CPU s: of all threads, which other work on the machine changes least.
 * `node dist/bench/fold.js [--rounds 3] [--only hira,randlora]`
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { LOADER_THREADS } from '../adapters-store/arithmetic.ts'
import { FileMemory } from '../adapters-store/files.ts'
import { loadAdapter, readSafetensorsHeader } from '../adapters-store/index.ts'
import type { BaseModel, Site } from '../adapters-store/types.ts'
import { loadNative } from '../native/index.ts'
import { repoRoot } from '../test/support/repo.ts'
import { type Planned, writeRandom } from './model135m.ts'
import { heading, median, table } from './report.ts'

const LAYERS = 32
const RANK = 16
const WIDEST = 14336
const SHAPES: [string, number, number][] = [
  ['self_attn.q_proj', 4096, 4096],
  ['self_attn.k_proj', 4096, 1024],
  ['self_attn.v_proj', 4096, 1024],
  ['self_attn.o_proj', 4096, 4096],
  ['mlp.gate_proj', 4096, WIDEST],
  ['mlp.up_proj', 4096, WIDEST],
  ['mlp.down_proj', WIDEST, 4096],
]
const root = path.join(repoRoot(), 'build/bench/fold')
const { values } = parseArgs({ options: { rounds: { type: 'string', default: '3' }, only: { type: 'string' } } })

type Sized = { inputs: number; outputs: number; name: string }
type Shapes = Record<string, number[]>

interface Method {
  /** Measured; the result is scaled up to 32. */
  layers: number
  config: Record<string, unknown>
  shared?: Shapes
  /** Without number: all ones. */
  tensors(sized: Sized): Shapes
}

const lora = { r: RANK, lora_alpha: RANK }
const factorsOf = (prefix: string, { inputs, outputs }: Sized): Shapes => ({
  [`${prefix}_A`]: [RANK, inputs],
  [`${prefix}_B`]: [outputs, RANK],
})
/** LoKr's default cut: the two factors of n nearest to each other, the smaller first. */
function cut(n: number): [number, number] {
  let small = Math.floor(Math.sqrt(n))
  while (n % small) small--
  return [small, n / small]
}
const vectorLength = 256

const METHODS: Record<string, Method> = {
  lora: { layers: 32, config: { peft_type: 'LORA', ...lora }, tensors: (s) => factorsOf('lora', s) },
  dora: {
    layers: 32,
    config: { peft_type: 'LORA', use_dora: true, ...lora },
    tensors: (s) => ({ ...factorsOf('lora', s), lora_magnitude_vector: [s.outputs] }),
  },
  adalora: {
    layers: 32,
    config: { peft_type: 'ADALORA', ...lora, init_r: RANK },
    tensors: (s) => ({ ...factorsOf('lora', s), lora_E: [RANK, 1] }),
  },
  vera: {
    layers: 32,
    config: { peft_type: 'VERA', r: RANK, save_projection: true },
    shared: { vera_A: [RANK, WIDEST], vera_B: [WIDEST, RANK] },
    tensors: (s) => ({ vera_lambda_b: [s.outputs], vera_lambda_d: [RANK] }),
  },
  delora: {
    layers: 32,
    config: { peft_type: 'DELORA', r: RANK },
    tensors: (s) => ({ ...factorsOf('delora', s), delora_lambda: [1], delora_w_norm: [s.inputs] }),
  },
  vblora: {
    layers: 32,
    config: { peft_type: 'VBLORA', r: RANK, num_vectors: 128, vector_length: vectorLength, topk: 2 },
    shared: { vblora_vector_bank: [128, vectorLength] },
    tensors: (s) => ({
      vblora_logits_A: [RANK, s.inputs / vectorLength, 128],
      vblora_logits_B: [s.outputs / vectorLength, RANK, 128],
    }),
  },
  miss: {
    layers: 32,
    config: { peft_type: 'MISS', r: RANK },
    tensors: (s) => ({ miss_block: [RANK, s.outputs] }),
  },
  loha: {
    layers: 4,
    config: { peft_type: 'LOHA', r: RANK, alpha: RANK },
    tensors: (s) =>
      Object.fromEntries(
        ['hada_w1', 'hada_w2'].flatMap((w) => [
          [`${w}_a`, [s.outputs, RANK]],
          [`${w}_b`, [RANK, s.inputs]],
        ]),
      ),
  },
  lokr: {
    layers: 4,
    config: { peft_type: 'LOKR', r: RANK, alpha: RANK },
    tensors({ inputs, outputs }) {
      const [[o1, o2], [i1, i2]] = [cut(outputs), cut(inputs)]
      return { lokr_w1: [o1, i1], lokr_w2_a: [o2, RANK], lokr_w2_b: [RANK, i2] }
    },
  },
  ia3: {
    layers: 4,
    config: { peft_type: 'IA3' },
    tensors: (s): Shapes => ({ ia3_l: s.name.startsWith('mlp') ? [1, s.inputs] : [s.outputs, 1] }),
  },
  'miss bat': {
    layers: 2,
    config: { peft_type: 'MISS', r: RANK, init_weights: 'bat' },
    tensors: (s) => ({ miss_block: [s.outputs / RANK, RANK, RANK] }),
  },
  hira: { layers: 4, config: { peft_type: 'HIRA', r: RANK }, tensors: (s) => factorsOf('hira', s) },
  randlora: {
    layers: 1,
    config: { peft_type: 'RANDLORA', r: RANK, randlora_alpha: RANK, save_projection: true },
    shared: { randlora_A: [RANK, 1, 4096], randlora_B: [WIDEST, 4096 / RANK, RANK] },
    tensors({ inputs, outputs }) {
      const small = Math.min(inputs, outputs)
      return { randlora_lambda: [RANK, small / RANK], randlora_gamma: [small / RANK, small] }
    },
  },
}
const RANDLORA_TFLOP =
  (LAYERS * SHAPES.reduce((sum, [, inputs, outputs]) => sum + 2 * inputs * outputs * Math.min(inputs, outputs), 0)) / 1e12

const elements = (shape: number[]) => shape.reduce((product, size) => product * size, 1)

/** One layer in a file; every layer's sites name its tensors. */
function baseModel(): BaseModel {
  mkdirSync(root, { recursive: true })
  const file = path.join(root, 'model.safetensors')
  const layer = SHAPES.map(([name, inputs, outputs]) => ({ name, shape: [outputs, inputs], deviation: inputs ** -0.5 }))
  if (!existsSync(file)) writeRandom(file, layer, 'F16', 1)
  const sites: Site[] = Array.from({ length: LAYERS }, (_, i) =>
    SHAPES.map(([name, inFeatures, outFeatures], j) => ({
      index: i * SHAPES.length + j,
      module: `model.layers.${i}.${name}`,
      kind: 'linear' as const,
      inFeatures,
      outFeatures,
      weight: name,
      takesInputScale: /o_proj|down_proj/.test(name),
    })),
  ).flat()
  return {
    ...{
      directory: root,
      name: '8B shape',
      modelType: 'llama',
      tiedEmbeddings: false,
      layers: LAYERS,
      vocabSize: 0,
      hiddenSize: 4096,
    },
    ...{ sites, tensors: Object.fromEntries(readSafetensorsHeader(file)) },
  }
}

function adapterFolder(name: string, { layers, config, shared, tensors }: Method): string {
  const folder = path.join(root, name.replace(' ', '-'))
  if (existsSync(path.join(folder, 'adapter_model.safetensors'))) return folder
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, 'adapter_config.json'), JSON.stringify(config))
  const planned = (prefix: string, shapes: Shapes): Planned[] =>
    Object.entries(shapes).map(([key, shape]) => ({
      name: `base_model.${prefix}${key}`,
      shape,
      deviation: /magnitude|w_norm/.test(key) ? undefined : 1 / 64,
    }))
  const modules = Array.from({ length: layers }, (_, i) =>
    SHAPES.flatMap(([module, inputs, outputs]) =>
      planned(`model.model.layers.${i}.${module}.`, tensors({ inputs, outputs, name: module })),
    ),
  )
  writeRandom(path.join(folder, 'adapter_model.safetensors'), [...planned('', shared ?? {}), ...modules.flat()], 'F16', 2)
  return folder
}

function seconds(work: () => void): number {
  const started = performance.now()
  work()
  return (performance.now() - started) / 1000
}

/** Into memory that was used before, as the loader does; the copy's is fresh. */
const memory = new FileMemory()
function floor(folder: string): number {
  const file = path.join(folder, 'adapter_model.safetensors')
  const size = readFileSync(file).length
  const bytes = memory.take(size)
  const descriptor = openSync(file, 'r')
  return seconds(() => {
    const hash = createHash('sha256')
    for (let at = 0; at < size; at += 512 << 10) {
      const piece = bytes.subarray(at, Math.min(size, at + (512 << 10)))
      readSync(descriptor, piece, 0, piece.length, at)
      hash.update(piece)
    }
    hash.digest()
    new Uint8Array(size).set(bytes)
  })
}

/** Of blocks of rows as long as RandLoRA's. In TFLOP a second, and a CPU second. */
function productRate(): { wall: number; cpu: number } {
  const [m, k, n] = [1024, 4096, WIDEST]
  const matrix = (rows: number, columns: number) => ({
    ...{ dtype: 'float32' as const, rows, columns },
    data: new Float32Array(rows * columns).fill(1 / 64),
  })
  const [left, right, into] = [matrix(m, k), matrix(k, n), new Float32Array(m * n)]
  const blocks = 5
  const before = process.cpuUsage()
  const took = seconds(() => {
    for (let i = 0; i < blocks; i++) loadNative().fold.addProduct(into, left, right, 1, LOADER_THREADS)
  })
  const { user, system } = process.cpuUsage(before)
  const work = (blocks * 2 * m * k * n) / 1e12
  return { wall: work / took, cpu: (1e6 * work) / (user + system) }
}

function readBase(base: BaseModel): number {
  const descriptor = openSync(path.join(base.directory, 'model.safetensors'), 'r')
  const bytes = new Uint8Array(16 << 20)
  return (
    LAYERS *
    seconds(() => {
      while (readSync(descriptor, bytes) > 0);
    })
  )
}

const base = baseModel()
const names = values.only?.split(',') ?? Object.keys(METHODS)
const baseSeconds: number[] = []
const results = new Map(
  names.map((name) => [
    name,
    { floor: [] as number[], load: [] as number[], cpu: [] as number[], rate: [] as ReturnType<typeof productRate>[] },
  ]),
)
for (let round = 0; round < Number(values.rounds); round++) {
  baseSeconds.push(readBase(base))
  for (const [name, result] of results) {
    const method = METHODS[name]
    const folder = adapterFolder(name, method)
    const scaled = LAYERS / method.layers
    result.floor.push(scaled * floor(folder))
    if (name === 'randlora') result.rate.push(productRate())
    const before = process.cpuUsage()
    result.load.push(scaled * seconds(() => loadAdapter(name, folder, base, { dtype: 'float16', blockBytes: 1 << 20 }, memory)))
    const { user, system } = process.cpuUsage(before)
    result.cpu.push((scaled * (user + system)) / 1e6)
    if (name === 'randlora') result.rate.push(productRate())
  }
}

const read = median(baseSeconds)
const targets: Record<
  string,
  (load: number, floor: number, cpu: number, rate: { wall: number; cpu: number }) => [string, boolean]
> = {
  lora: (load, floor) => [`${(load / floor).toFixed(2)} × the floor (≤ 1.5 ×)`, load <= 1.5 * floor],
  dora: (load) => [`≤ 10 s`, load <= 10],
  hira: (load) => [`${(load - read).toFixed(1)} s beyond reading the base (≤ 60 s)`, load - read <= 60],
  randlora: (load, _, cpu, rate) => {
    const operations = RANDLORA_TFLOP / rate.wall
    return [
      `${(load / operations).toFixed(2)} × its ${RANDLORA_TFLOP.toFixed(1)} TFLOP at ${(1000 * rate.wall).toFixed(0)} GFLOP/s (≤ 1.3 ×); by CPU time ${((cpu * rate.cpu) / RANDLORA_TFLOP).toFixed(2)} ×`,
      load <= 1.3 * operations,
    ]
  },
}
console.log(
  heading(
    `224 sites of an 8B shape, rank ${RANK}, float16 in the files and in the image, files in the page cache, ${LOADER_THREADS} threads`,
  ),
)
console.log(
  table(
    ['method', 'layers measured', 'file MB', 'floor s', 'load s', 'CPU s', 'of the floor', 'against'],
    [...results].map(([name, { floor, load, cpu, rate }]) => {
      const method = METHODS[name]
      const perLayer = SHAPES.reduce(
        (sum, [module, inputs, outputs]) =>
          sum + Object.values(method.tensors({ inputs, outputs, name: module })).reduce((n, shape) => n + elements(shape), 0),
        0,
      )
      const shared = Object.values(method.shared ?? {}).reduce((n, shape) => n + elements(shape), 0)
      const [l, f] = [median(load), median(floor)]
      const [against, met] = targets[name]?.(l, f, median(cpu), {
        wall: median(rate.map((r) => r.wall)),
        cpu: median(rate.map((r) => r.cpu)),
      }) ?? ['', true]
      return [
        name,
        method.layers,
        ((2 * (LAYERS * perLayer + shared)) / 1e6).toFixed(1),
        f.toFixed(2),
        l.toFixed(2),
        median(cpu).toFixed(2),
        `${(l / f).toFixed(1)} ×`,
        against && `${against}${met ? '' : ': MISSED'}`,
      ]
    }),
  ),
)
console.log(`\nreading the base's 14 GB from the page cache: ${read.toFixed(1)} s; rounds: ${values.rounds}, the middle of them`)
