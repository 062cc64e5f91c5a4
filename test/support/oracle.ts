/** Oracle folders (test/fixtures/oracle/make_oracle.py's format) run through the engine and compared with what transformers + PEFT computed. */
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { type Adapter, AdapterRegistry, HostMemory, loadAdapter } from '../../adapters-store/index.ts'
import type { AdapterDtype, AdapterImage } from '../../adapters-store/types.ts'
import type { CacheDtype, Device, TensorType } from '../../native/types.ts'
import { startEngine } from '../../runtime/index.ts'
import { blockBytesOf } from '../../runtime/model/block-size.ts'
import { frameBytesOf } from '../../runtime/model/frame-size.ts'
import { type BuiltModel, buildModel } from '../../runtime/model/index.ts'
import type {
  AdapterUse,
  Engine,
  EngineSettings,
  EngineSnapshot,
  SamplingParams,
  SequenceOutput,
  SequenceRequest,
} from '../../runtime/types.ts'
import { greedy } from './greedy.ts'
import { fixture, readJson } from './repo.ts'

/** Greedy tokens must agree up to the first position where the oracle's two best logits are closer than this. */
export const NEAR_TIE = 1e-3
/** Bound on every logit after the prompt's last token. */
export const LOGITS_TOLERANCE = 1e-3
/** The same where activations are float16: the largest error measured is half of it, and two logits may err in opposite directions. */
export const FLOAT16 = { nearTie: 0.12, tolerance: 0.06 }

interface GoldenRow {
  prompt: number[]
  /** After the prompt's last token, [vocabulary]. */
  logits: number[]
  greedy: number[]
  /** Best minus second-best logit at each greedy token. */
  margins: number[]
}

/** One prompt on the base (no weights), one adapter, or a weighted mix. */
export interface OracleCase {
  name: string
  weights: Record<string, number>
  row: GoldenRow
}

export interface Verdict {
  name: string
  /** Largest difference of a logit after the prompt's last token. */
  logitsError: number
  /** Position of the first token that differs although the oracle was sure of it; -1 = none. */
  wrongAt: number
  /** Tokens that agree, from the first on. */
  agreed: number
  tokens: number[]
  error?: string
}

/** LORIKEET_ORACLE=DIR runs a folder made by make_oracle.py instead of the committed fixtures. */
export function oracleRoot(): string {
  return process.env.LORIKEET_ORACLE ?? fixture('oracle')
}

export function oracleFamilies(root = oracleRoot()): string[] {
  return readdirSync(root)
    .filter((name) => existsSync(path.join(root, name, 'golden.json')))
    .sort()
}

/** One family's folder: its model described, its adapters loaded, its golden rows read. */
export class OracleFamily {
  readonly name: string
  readonly model: BuiltModel
  readonly images = new Map<string, AdapterImage>()
  readonly cases: OracleCase[]
  readonly blockSize = 16
  readonly blockBytes: number
  readonly frameBytes: number
  readonly adapterDtype: AdapterDtype
  readonly device: Device
  readonly cacheDtype: CacheDtype
  readonly #directory: string
  readonly #leastFrameBytes: number | undefined

  /**
   * On CUDA everything is in `adapterDtype`, activations and KV cache too; on the CPU the cache is in `cacheDtype`. `leastFrameBytes`: without it these models' blocks
   * are too small to be cut.
   */
  constructor(
    name: string,
    adapterDtype: AdapterDtype = 'float32',
    root = oracleRoot(),
    device: Device = 'cpu',
    leastFrameBytes?: number,
    cacheDtype: CacheDtype = device === 'cpu' ? 'float32' : adapterDtype,
  ) {
    this.name = name
    this.adapterDtype = adapterDtype
    this.device = device
    this.#directory = path.join(root, name, 'base')
    this.model = buildModel(this.#directory)
    this.cacheDtype = cacheDtype
    this.blockBytes = blockBytesOf({ ...this.model, cacheDtype }, device, this.blockSize)
    this.#leastFrameBytes = leastFrameBytes
    this.frameBytes = frameBytesOf(this.model.base.sites, adapterDtype, this.blockBytes, leastFrameBytes)
    const adapters = path.join(root, name, 'adapters')
    for (const adapter of readdirSync(adapters).sort()) {
      const options = { dtype: adapterDtype, blockBytes: this.blockBytes, frameBytes: this.frameBytes }
      this.images.set(adapter, loadAdapter(adapter, path.join(adapters, adapter), this.model.base, options))
    }
    const golden = readJson<Record<string, GoldenRow[]>>(path.join(root, name, 'golden.json'))
    this.cases = Object.entries(golden).flatMap(([name, rows]) => rows.map((row) => ({ name, weights: weightsOf(name), row })))
  }

  /** Blocks that the most demanding case needs by itself: its adapters' and its tokens'. */
  get leastBlocks(): number {
    return Math.max(
      ...this.cases.map(({ weights, row }) => {
        return this.#blocksOf(Object.keys(weights)) + Math.ceil((row.prompt.length + row.greedy.length) / this.blockSize)
      }),
    )
  }

  /** Blocks for every adapter and every case at once. */
  get ampleBlocks(): number {
    return this.#blocksOf([...this.images.keys()]) + this.cases.length * (this.leastBlocks + 1)
  }

  /** Blocks that these adapters take together. */
  #blocksOf(names: string[]): number {
    let blocks = 0
    let frames = 0
    for (const name of names) {
      blocks += this.images.get(name)!.blocks
      frames += this.images.get(name)!.frames
    }
    return blocks + Math.ceil((frames * this.frameBytes) / this.blockBytes)
  }

  /** The engine on a pool of so many blocks, every adapter known to it (or those `known`), the invariant validator on. */
  async start(
    blocks: number,
    settings: Partial<EngineSettings> = {},
    known: Iterable<AdapterImage> = this.images.values(),
  ): Promise<Engine> {
    const engine = await startEngine({
      modelDir: this.#directory,
      dtype: this.device === 'cpu' ? 'float32' : (this.adapterDtype as TensorType),
      device: this.device,
      poolBytes: blocks * this.blockBytes,
      blockSize: this.blockSize,
      maxBatchTokens: 256,
      maxSequences: 128,
      adapterDtype: this.adapterDtype,
      cacheDtype: this.device === 'cpu' ? this.cacheDtype : undefined,
      leastFrameBytes: this.#leastFrameBytes,
      threads: 2,
      prefixCache: true,
      validate: true,
      ...settings,
    })
    for (const image of known) engine.addAdapter(image)
    return engine
  }

  /** Host memory for `most` adapters over the engine, and a registry that reads the family's adapters into it. */
  hostTier(engine: Engine, most: number): { registry: AdapterRegistry; memory: HostMemory } {
    const memory = new HostMemory(
      1 << 30,
      { came: (image) => engine.addAdapter(image), went: (digest, name) => engine.removeAdapter(digest, name) },
      { most },
    )
    const options = { dtype: this.adapterDtype, blockBytes: this.blockBytes }
    const load = async (name: string, directory: string) => loadAdapter(name, directory, this.model.base, options)
    const registry = new AdapterRegistry({ load }, memory)
    for (const name of this.images.keys()) registry.enter(name, path.join(this.#directory, '../adapters', name))
    return { registry, memory }
  }

  /** Runs a case with its adapters leased from the registry while it runs. */
  async runLeased(engine: Engine, registry: AdapterRegistry, one: OracleCase, id: string): Promise<Verdict> {
    const lease = await registry.lease(Object.keys(one.weights).map((name) => registry.get(name) as Adapter))
    try {
      return await this.run(engine, one, id)
    } finally {
      lease.release()
    }
  }

  /** Runs a case, with its logits judged unless `changes` says not to return them, up to its maxTokens; as many at once as the caller does not await. */
  run(engine: Engine, one: OracleCase, id: string, changes: Partial<SamplingParams> = {}): Promise<Verdict> {
    return this.runWith(engine, one, this.usesOf(one), id, changes)
  }

  usesOf({ weights }: OracleCase): AdapterUse[] {
    return Object.entries(weights).map(([name, weight]) => ({ name, digest: this.images.get(name)!.digest, weight }))
  }

  /** The same of any adapters. `terms`: what the request says of its turn. */
  runWith(
    engine: Engine,
    { name, row }: Pick<OracleCase, 'name' | 'row'>,
    adapters: AdapterUse[],
    id: string,
    changes: Partial<SamplingParams> = {},
    terms: Pick<SequenceRequest, 'flow' | 'priority' | 'firstTokenMs'> = {},
  ): Promise<Verdict> {
    const sampling = { ...greedy(row.greedy.length), returnLogits: true, ...changes }
    const request = { id, promptIds: row.prompt, sampling, adapters, arrival: Date.now(), ...terms }
    const nearTie = this.device === 'cpu' ? NEAR_TIE : FLOAT16.nearTie
    const tokens: number[] = []
    let logits: Float32Array | undefined
    return new Promise((resolve) => {
      engine.submit(request, (output: SequenceOutput) => {
        tokens.push(...output.tokens)
        logits ??= output.logits?.[0]
        if (output.finish) resolve(judge(name, row, tokens, logits, sampling, nearTie, output.error?.message))
      })
    })
  }

  /** All cases in flight at once. */
  runAll(engine: Engine, round = 'all', changes: Partial<SamplingParams> = {}): Promise<Verdict[]> {
    return Promise.all(this.cases.map((one, i) => this.run(engine, one, `${round}-${i}`, changes)))
  }
}

function weightsOf(name: string): Record<string, number> {
  if (name === 'base') return {}
  return name.startsWith('mix:') ? (JSON.parse(name.slice(4)) as Record<string, number>) : { [name]: 1 }
}

function judge(
  name: string,
  row: GoldenRow,
  tokens: number[],
  logits: Float32Array | undefined,
  sampling: SamplingParams,
  nearTie: number,
  error?: string,
): Verdict {
  const wanted = Math.min(row.greedy.length, sampling.maxTokens)
  let agreed = 0
  while (agreed < wanted && tokens[agreed] === row.greedy[agreed]) agreed++
  // A token may differ only where the oracle itself hardly preferred it; what follows is then another continuation.
  const wrong = agreed < wanted && row.margins[agreed] > nearTie
  // An adapter whose table was resized has as many tokens as it has rows.
  const logitsError =
    logits?.length === row.logits.length
      ? row.logits.reduce((worst, value, i) => Math.max(worst, Math.abs(value - logits[i])), 0)
      : sampling.returnLogits
        ? Number.POSITIVE_INFINITY
        : 0
  return { name, logitsError, wrongAt: wrong ? agreed : -1, agreed, tokens, error }
}

/** The verdicts that miss the tolerance, in words. NaN counts as a miss. */
export function failures(verdicts: Verdict[], tolerance = LOGITS_TOLERANCE): string[] {
  return verdicts
    .filter((v) => v.error !== undefined || v.wrongAt >= 0 || !(v.logitsError <= tolerance))
    .map(
      (v) =>
        v.error ??
        `${v.name}: logits off by ${v.logitsError.toPrecision(3)}, ${v.wrongAt < 0 ? 'tokens right' : `token ${v.wrongAt} wrong`}`,
    )
}

/** With nothing in flight every block is free, an idle adapter's or a cached prefix's; the complaints otherwise. */
export function idleComplaints({ blocks, running, waiting }: EngineSnapshot): string[] {
  const complaints: string[] = []
  if (running + waiting > 0) complaints.push(`${running} running and ${waiting} waiting`)
  if (blocks.sequences !== 0) complaints.push(`${blocks.sequences} blocks are still sequences'`)
  if (blocks.free + blocks.idleAdapters + blocks.cachedPrefixes !== blocks.total)
    complaints.push(
      `free ${blocks.free} + idle adapters ${blocks.idleAdapters} + cached prefixes ${blocks.cachedPrefixes} ≠ ${blocks.total}`,
    )
  if (blocks.adapters !== blocks.idleAdapters)
    complaints.push(`resident adapters hold ${blocks.adapters} blocks, idle ones ${blocks.idleAdapters}`)
  return complaints
}
