/** Two engines for the core: the real one, watched; and one that computes nothing and moves a virtual clock by what it would have taken. */
import {
  type NativeEngine,
  type PackedAdapter,
  type SlotInput,
  STEP_SEQUENCE,
  STEP_SEQUENCE_FIELDS,
  type StepBatch,
  type StepOutput,
} from '../../native/types.ts'
import { type Measured, msOf, type StepCost, StepReader } from './step-cost.ts'

/** All that a machine's time is modelled by. */
export interface Cost {
  step: StepCost
  /** Milliseconds of copying a MB into the pool. */
  copyMb: number
  /** Milliseconds of a step outside the graph: planning, packing, committing. */
  around: number
}

/** What an image takes of the pool. */
const pagesMb = ({ blocks, frames }: Pick<PackedAdapter, 'blocks' | 'frames'>, blockBytes: number, frameBytes: number) =>
  (blocks.length * blockBytes + frames.length * frameBytes) / 1e6

/** The real engine, and what its steps and copies took. */
export class WatchedEngine implements NativeEngine {
  readonly steps: Measured[] = []
  readonly copies: { mb: number; ms: number }[] = []
  private readonly native: NativeEngine
  private readonly frameBytes: number
  readonly reader: StepReader

  constructor(native: NativeEngine, frameBytes: number, bytesOf: ReadonlyMap<bigint, number>) {
    this.native = native
    this.frameBytes = frameBytes
    this.reader = new StepReader(bytesOf)
  }

  /** What was measured until now does not count. */
  forget(): void {
    this.steps.length = 0
    this.copies.length = 0
  }

  get copiedMb(): number {
    return this.copies.reduce((sum, { mb }) => sum + mb, 0)
  }

  get blockBytes() {
    return this.native.blockBytes
  }

  get blockCount() {
    return this.native.blockCount
  }

  pinImage(image: Uint8Array): void {
    this.native.pinImage(image)
  }

  unpinImage(image: Uint8Array): void {
    this.native.unpinImage(image)
  }

  putAdapter(adapter: PackedAdapter): void {
    const started = performance.now()
    this.native.putAdapter(adapter)
    this.copies.push({ mb: pagesMb(adapter, this.blockBytes, this.frameBytes), ms: performance.now() - started })
  }

  adapterReady(index: number): boolean {
    return this.native.adapterReady(index)
  }

  dropAdapter(index: number): void {
    this.native.dropAdapter(index)
  }

  admit(sequence: SlotInput): void {
    this.reader.admit(sequence)
    this.native.admit(sequence)
  }

  release(slot: number): void {
    this.native.release(slot)
  }

  async step(batch: StepBatch): Promise<StepOutput> {
    const work = this.reader.workOf(batch)
    const output = await this.native.step(batch)
    this.steps.push({ work, ms: output.runMs + output.sampleMs })
    return output
  }

  close(): void {
    this.native.close()
  }
}

/** An engine without a model: each step takes the time that it would on the machine that `cost` was fitted to. Every token is 0. */
export class VirtualEngine implements NativeEngine {
  readonly blockBytes: number
  readonly blockCount: number
  /** Milliseconds. */
  now = 0
  /** When the step that was begun last is over, as far as is known. */
  ends = 0
  copiedMb = 0
  private readonly frameBytes: number
  private readonly cost: Cost
  readonly reader: StepReader

  constructor(
    pool: { blockBytes: number; frameBytes: number; blockCount: number },
    cost: Cost,
    bytesOf: ReadonlyMap<bigint, number>,
  ) {
    this.blockBytes = pool.blockBytes
    this.blockCount = pool.blockCount
    this.frameBytes = pool.frameBytes
    this.cost = cost
    this.reader = new StepReader(bytesOf)
  }

  /** The engine's thread copies: before a step, or beside one whose cores it takes. */
  copied(mb: number): void {
    this.copiedMb += mb
    this.ends = Math.max(this.ends, this.now) + mb * this.cost.copyMb
  }

  putAdapter(adapter: PackedAdapter): void {
    this.copied(pagesMb(adapter, this.blockBytes, this.frameBytes))
  }

  admit(sequence: SlotInput): void {
    this.reader.admit(sequence)
  }

  async step(batch: StepBatch): Promise<StepOutput> {
    const runMs = msOf(this.cost.step, this.reader.workOf(batch))
    this.ends = Math.max(this.ends, this.now) + runMs + this.cost.around
    // What comes during the step is told, and copied, before it is over.
    await undefined
    this.now = this.ends
    const sequences = batch.sequences.length / STEP_SEQUENCE_FIELDS
    let rows = 0
    for (let i = 0; i < sequences; i++) rows += batch.sequences[i * STEP_SEQUENCE_FIELDS + STEP_SEQUENCE.samples]
    return {
      tokens: new Int32Array(rows),
      logprob: new Float32Array(rows),
      rank: new Int32Array(rows),
      topStarts: new Int32Array(rows + 1),
      topTokens: new Int32Array(0),
      topLogprobs: new Float32Array(0),
      sequenceStatus: new Uint8Array(sequences),
      rowStatus: new Uint8Array(rows),
      stopped: new Uint8Array(rows),
      runMs,
      sampleMs: 0,
    }
  }

  adapterReady(): boolean {
    return true
  }

  pinImage(): void {}
  unpinImage(): void {}
  dropAdapter(): void {}
  release(): void {}
  close(): void {}
}
