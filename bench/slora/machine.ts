/** A shape's engine on this machine: the real one, what its time is made of, and as many virtual ones as are wanted. */
import type { AdapterImage } from '../../adapters-store/types.ts'
import { EngineCore } from '../../runtime/engine/core.ts'
import type { CoreSettings } from '../../runtime/engine/core-settings.ts'
import { loadEngine } from '../../runtime/engine/load.ts'
import { readBaseModel } from '../../runtime/model/index.ts'
import type { EngineInfo } from '../../runtime/types.ts'
import { type Load, type Result, runReally, runVirtually } from './core-load.ts'
import { type Cost, VirtualEngine, WatchedEngine } from './engines.ts'
import { type Gate, GatedCore } from './gate.ts'
import { imagesOf } from './images.ts'
import type { Shape } from './workload.ts'

/** As `lorikeet serve` has them on the CPU. */
const SERVED = { maxBatchTokens: 256, maxSequences: 128, maxStepMs: 120, prefixCache: true }
const THREADS = 2

export type Pages = Pick<EngineInfo, 'blockBytes' | 'frameBytes' | 'blockCount' | 'blockSize' | 'vocabSize' | 'maxModelLen'>
export type Policy = Pick<CoreSettings, 'adapterCluster' | 'maxStepMs'>

export class Machine {
  readonly pages: Pages
  readonly images: AdapterImage[]
  private readonly bytesOf: ReadonlyMap<bigint, number>
  private readonly byDigest: ReadonlyMap<string, AdapterImage>

  /** With `adapters` of them known. */
  constructor(shape: Shape, pages: Pages, adapters: number) {
    const { images, bytesOf } = imagesOf(shape, readBaseModel(shape.base), pages, adapters)
    this.pages = pages
    this.images = images
    this.bytesOf = bytesOf
    this.byDigest = new Map(images.map((image) => [image.digest, image]))
  }

  readonly imageOf = (digest: string) => this.byDigest.get(digest) as AdapterImage

  private settings(pages: Pages, policy: Policy, clock: () => number): CoreSettings {
    const { blockCount, blockSize, frameBytes, vocabSize, maxModelLen } = pages
    const sizes = { blockCount, blockSize, frameBytes, vocabSize, maxModelLen }
    return { ...SERVED, ...sizes, ...policy, copiesAside: false, overlap: false, validate: false, clock }
  }

  /** The product as it is, in virtual time. */
  async virtually(cost: Cost, load: Load, policy: Policy = {}): Promise<Result> {
    const engine = new VirtualEngine(this.pages, cost, this.bytesOf)
    const core = new EngineCore(
      engine,
      this.settings(this.pages, policy, () => engine.now),
      () => 0n,
      warnNobody,
    )
    for (const image of this.images) core.addAdapter(image)
    return await runVirtually(core, engine, load)
  }

  /** With memory that `gate` gives out; the product's own pool holds KV alone, in `kvBlocks`. */
  async behind(cost: Cost, load: Load, kvBlocks: number, gate: (copied: (mb: number) => void) => Gate): Promise<Result> {
    const pages = { ...this.pages, blockCount: kvBlocks }
    const engine = new VirtualEngine(pages, cost, this.bytesOf)
    const outside = gate((mb) => engine.copied(mb))
    const core = new GatedCore(
      engine,
      this.settings(pages, {}, () => engine.now),
      outside,
    )
    for (const image of this.images) core.addAdapter({ ...image, blocks: 0, frames: 0 })
    return await runVirtually(core, engine, { ...load, besides: () => outside.adapters })
  }

  /** The real engine, by this machine's clock, over what `loaded` has loaded; the copies and steps stay in `engine`. */
  async really(engine: WatchedEngine, load: Load, policy: Policy = {}): Promise<{ result: Result; wallMs: number }> {
    const started = performance.now()
    const clock = () => performance.now() - started
    const core = new EngineCore(engine, this.settings(this.pages, policy, clock), () => 0n, warnNobody)
    for (const image of this.images) core.addAdapter(image)
    const result = await runReally(core, engine, clock, load)
    // Another core comes after it: nothing of this one's may lie in the addon's table.
    for (const resident of [...core.pool.adapters.all()]) core.pool.adapters.evict(resident)
    return { result, wallMs: clock() }
  }

  watched(native: Awaited<ReturnType<typeof loadEngine>>['native']): WatchedEngine {
    return new WatchedEngine(native, this.pages.frameBytes, this.bytesOf)
  }
}

const warnNobody = () => {}

/** The real engine of a shape, as the server would load it. */
export async function loaded({ base }: Shape, poolBytes: number) {
  const { maxBatchTokens, maxSequences, prefixCache } = SERVED
  const limits = { maxBatchTokens, maxSequences, prefixCache, poolBytes, threads: THREADS, extraTokens: 0 }
  return await loadEngine({ modelDir: base, device: 'cpu', dtype: 'auto', adapterDtype: 'auto', ...limits }, () => {})
}
