/** The folders of test/fixtures/pooling: models, adapters, and the hidden states and logits that transformers + PEFT compute. */
import { existsSync, readdirSync } from 'node:fs'
import { loadAdapter } from '../../adapters-store/index.ts'
import type { AdapterImage, ClassifierHead, TensorType } from '../../adapters-store/types.ts'
import type { Device } from '../../native/types.ts'
import { POOLED_SAMPLING, startEngine } from '../../runtime/index.ts'
import { frameBytesOf } from '../../runtime/model/frame-size.ts'
import { type BuiltModel, buildModel } from '../../runtime/model/index.ts'
import type { Engine, EngineSettings, Pooling } from '../../runtime/types.ts'
import { fixture, readJson } from './repo.ts'

/** Of one vector. */
type OneVector = Exclude<Pooling, 'each'>

export const POOLINGS: OneVector[] = ['last', 'first', 'mean']

/** What the oracle has of one prompt. */
export type PooledRow = Record<OneVector, number[]> & { prompt: number[]; logits?: number[] }

export interface PooledCase {
  /** Of the adapter; undefined: the base alone. */
  adapter?: string
  row: PooledRow
  pooling: OneVector
}

export const pooledFamilies = (): string[] =>
  readdirSync(fixture('pooling')).filter((name) => existsSync(fixture('pooling', name, 'golden.json')))

export const pooledFolder = (family: string, ...parts: string[]) => fixture('pooling', family, ...parts)

const BLOCK_SIZE = 16

export class PooledFamily {
  readonly model: BuiltModel
  readonly images = new Map<string, AdapterImage>()
  readonly cases: PooledCase[] = []
  readonly golden: Record<string, PooledRow[]>
  readonly #directory: string
  readonly #device: Device
  readonly #dtype: TensorType
  readonly #blockBytes: number

  /** On CUDA, which may be emulated, all is in float16. */
  constructor(family: string, device: Device = 'cpu') {
    this.#directory = pooledFolder(family, 'base')
    this.#device = device
    this.#dtype = device === 'cpu' ? 'float32' : 'float16'
    this.model = buildModel(this.#directory)
    const { layers, kvHeads, headDim, base } = this.model
    this.#blockBytes = BLOCK_SIZE * layers * 2 * kvHeads * headDim * (device === 'cpu' ? 4 : 2)
    const frameBytes = frameBytesOf(base.sites, this.#dtype, this.#blockBytes)
    this.golden = readJson<Record<string, PooledRow[]>>(pooledFolder(family, 'golden.json'))
    for (const adapter of Object.keys(this.golden)) {
      if (adapter === 'base') continue
      const options = { dtype: this.#dtype, blockBytes: this.#blockBytes, frameBytes }
      this.images.set(adapter, loadAdapter(adapter, pooledFolder(family, 'adapters', adapter), base, options))
    }
    for (const [name, rows] of Object.entries(this.golden))
      for (const row of rows)
        for (const pooling of POOLINGS) this.cases.push({ adapter: name === 'base' ? undefined : name, row, pooling })
  }

  async start(blocks = 400, settings: Partial<EngineSettings> = {}): Promise<Engine> {
    const engine = await startEngine({
      modelDir: this.#directory,
      device: this.#device,
      dtype: this.#dtype,
      adapterDtype: this.#dtype,
      poolBytes: blocks * this.#blockBytes,
      blockSize: BLOCK_SIZE,
      maxBatchTokens: 256,
      maxSequences: 64,
      threads: 2,
      prefixCache: true,
      validate: true,
      ...settings,
    })
    for (const image of this.images.values()) engine.addAdapter(image)
    return engine
  }

  /** The classifier of a case's logits. */
  headOf({ adapter }: Pick<PooledCase, 'adapter'>): ClassifierHead | undefined {
    return (adapter === undefined ? undefined : this.images.get(adapter)?.head) ?? this.model.classifier
  }

  /** Runs a case. Rejects with the engine's message. */
  run(engine: Engine, { adapter, row, pooling }: PooledCase, id: string): Promise<Float32Array> {
    const image = adapter === undefined ? undefined : this.images.get(adapter)
    const adapters = image ? [{ name: image.name, digest: image.digest, weight: 1 }] : []
    return new Promise((resolve, reject) => {
      engine.submit(
        { id, promptIds: row.prompt, sampling: POOLED_SAMPLING, pooling, adapters, arrival: Date.now() },
        ({ finish, pooled, error }) => {
          if (pooled) resolve(pooled)
          else if (finish) reject(new Error(error?.message ?? finish))
        },
      )
    })
  }
}

/** The largest difference; Infinity where they are not of one length. */
export function farthest(found: ArrayLike<number>, wanted: readonly number[]): number {
  if (found.length !== wanted.length) return Number.POSITIVE_INFINITY
  return wanted.reduce((most, value, i) => Math.max(most, Number.isFinite(found[i]) ? Math.abs(value - found[i]) : Infinity), 0)
}
