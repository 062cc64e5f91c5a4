/** EngineCore over a ToyEngine: requests in, outputs out, step by step. */
import type { AdapterImage } from '../../adapters-store/types.ts'
import { EngineCore } from '../../runtime/engine/core.ts'
import { requestPacker } from '../../runtime/engine/packed-request.ts'
import type { AdapterUse, SamplingParams, SequenceOutput, SequenceRequest } from '../../runtime/index.ts'
import type { Resident } from '../../runtime/pool/residency.ts'
import { greedy } from './greedy.ts'
import { TOY_VOCABULARY, ToyEngine } from './toy-engine.ts'

/** A request as it crosses to the engine's thread. */
export const packed = requestPacker(TOY_VOCABULARY)

export interface ToySettings {
  blockCount: number
  blockSize?: number
  /** Frames that a block is cut into; images must be too. */
  framesPerBlock?: number
  maxBatchTokens?: number
  maxSequences?: number
  maxModelLen?: number
  prefixCache?: boolean
  longPrefillTokens?: number
  maxStepMs?: number
  /** As on a device with copies of its own: `native.copying` is in use. */
  copiesAside?: boolean
  /** Steps are planned while one runs. */
  overlap?: boolean
  fair?: boolean
  adapterCluster?: number
  clock?: () => number
  /** Everything is checked after every step; the default. */
  validate?: boolean
}

/** Bytes of a toy's block; frames are parts of it. */
const BLOCK_BYTES = 4096

/** `frames`: of so many a block, `perBlock`. */
export function toyImage(name: string, blocks: number, frames = 0, perBlock = 1): AdapterImage {
  let hash = 0n
  for (const char of name)
    hash = BigInt.asUintN(64, hash * 1099511628211n + BigInt(char.codePointAt(0) ?? 0) + 1469598103934665603n)
  return {
    name,
    digest: hash.toString(16).padStart(16, '0').repeat(4),
    dtype: 'float32',
    blockBytes: BLOCK_BYTES,
    frameBytes: BLOCK_BYTES / perBlock,
    blocks,
    frames,
    image: new SharedArrayBuffer(0),
    rows: new Int32Array(0),
    entries: new Int32Array(0),
    method: 'lora',
    maxRank: 1,
  }
}

export const use = (image: AdapterImage, weight = 1): AdapterUse => ({ name: image.name, digest: image.digest, weight })

export class ToyCore {
  readonly native: ToyEngine
  readonly core: EngineCore
  readonly blockCount: number
  readonly blockSize: number
  readonly maxModelLen: number
  /** Everything told, by sequence. */
  readonly outputs = new Map<string, SequenceOutput[]>()
  readonly warnings: string[] = []
  private arrival = 0

  constructor(settings: ToySettings) {
    const blockSize = settings.blockSize ?? 4
    this.blockCount = settings.blockCount
    this.blockSize = blockSize
    this.maxModelLen = settings.maxModelLen ?? 1000
    this.native = new ToyEngine(settings.blockCount, blockSize, settings.framesPerBlock)
    if (settings.copiesAside) this.native.copying = []
    this.core = new EngineCore(
      this.native,
      {
        blockCount: settings.blockCount,
        blockSize,
        frameBytes: BLOCK_BYTES / (settings.framesPerBlock ?? 1),
        vocabSize: TOY_VOCABULARY,
        maxModelLen: this.maxModelLen,
        maxBatchTokens: settings.maxBatchTokens ?? 64,
        maxSequences: settings.maxSequences ?? 64,
        prefixCache: settings.prefixCache ?? true,
        longPrefillTokens: settings.longPrefillTokens,
        maxStepMs: settings.maxStepMs,
        copiesAside: settings.copiesAside ?? false,
        overlap: settings.overlap ?? false,
        fair: settings.fair,
        adapterCluster: settings.adapterCluster,
        clock: settings.clock,
        validate: settings.validate ?? true,
      },
      () => 1n,
      (message) => this.warnings.push(message),
    )
  }

  submit(
    id: string,
    promptIds: number[],
    adapters: AdapterUse[] = [],
    sampling: Partial<SamplingParams> = {},
    rest: Partial<SequenceRequest> = {},
  ): void {
    const request = { id, promptIds, adapters, arrival: this.arrival++, ...rest, sampling: { ...greedy(8), ...sampling } }
    this.core.submit(packed(request))
  }

  /** One step, its outputs collected. */
  async step(): Promise<void> {
    await this.core.step(() => {})
    for (const output of this.core.takeOutputs()) this.outputs.set(output.id, [...(this.outputs.get(output.id) ?? []), output])
  }

  /** Steps until nothing is left; throws after `limit` steps (a livelock). */
  async drain(limit = 5000): Promise<void> {
    for (let i = 0; !this.core.idle; i++) {
      if (i === limit) throw new Error(`not drained after ${limit} steps`)
      await this.step()
    }
  }

  /** What lies in the pool of adapters. */
  get residents(): Resident[] {
    return [...this.core.pool.adapters.all()]
  }

  tokens(id: string): number[] {
    return (this.outputs.get(id) ?? []).flatMap((output) => output.tokens)
  }

  last(id: string): SequenceOutput | undefined {
    return this.outputs.get(id)?.at(-1)
  }
}
