/** Requests that come and go in the engine's pool, over a table that stores nothing: what is found there, and what would have to be copied or computed again. */
import type { AdapterImage } from '../../adapters-store/types.ts'
import { Pool } from '../../runtime/pool/pool.ts'
import { seeded } from '../../test/support/pace.ts'
import { RIVALS, RivalPool } from './rivals.ts'
import type { Request, Trace } from './traces.ts'

/** Requests under way at a time: what they use cannot leave. */
const WIDTH = 8
/** Part of the requests after which counting begins. */
const WARM = 0.2

export interface Shape {
  name: string
  blocks: number
  blockBytes: number
  /** Of an adapter, the smallest and the largest. */
  adapterBlocks: [number, number]
  /** Bytes a millisecond. */
  copyRate: number
  /** To compute a block again. */
  blockMs: number
}

/** An 8B Llama on a GPU over PCIe 4, a 135M one on two cores, and adapters that are dear to bring back against what they take. */
export const SHAPES: Shape[] = [
  { name: '8B on a GPU', blocks: 2000, blockBytes: 2 ** 21, adapterBlocks: [5, 40], copyRate: 25e6, blockMs: 0.8 },
  { name: '135M on 2 cores', blocks: 1500, blockBytes: 737_280, adapterBlocks: [4, 16], copyRate: 4e6, blockMs: 9.6 },
  { name: 'equal by the byte', blocks: 1500, blockBytes: 2 ** 21, adapterBlocks: [5, 40], copyRate: 2.6e6, blockMs: 0.8 },
  { name: 'adapters from afar', blocks: 1500, blockBytes: 2 ** 21, adapterBlocks: [5, 40], copyRate: 2.6e5, blockMs: 0.8 },
]
const BLOCK_SIZE = 16
/** What the pool needs of the addon, storing nothing. */
export const STORES_NOTHING = { putAdapter() {}, adapterReady: () => true, dropAdapter() {} }

export function imagesOf({ blockBytes, adapterBlocks: [least, most] }: Shape, count: number): AdapterImage[] {
  const { below } = seeded(5)
  return Array.from({ length: count }, (_, i) => {
    const digest = i.toString(16).padStart(64, '0')
    const nothing = { image: new SharedArrayBuffer(0), rows: new Int32Array(0), entries: new Int32Array(0) }
    const blocks = least + below(most - least + 1)
    const size = { blockBytes, frameBytes: blockBytes, blocks, frames: 0 }
    return { name: digest, digest, dtype: 'float16', ...size, ...nothing, method: 'lora', maxRank: 8 }
  })
}

/** What one policy made of a trace, after the first part of it. */
export interface Outcome {
  wantedBytes: number
  hitBytes: number
  restoredMs: number
  recomputedMs: number
}

export class Simulation {
  readonly outcome: Outcome = { wantedBytes: 0, hitBytes: 0, restoredMs: 0, recomputedMs: 0 }
  private readonly pool: Pool
  private readonly shape: Shape
  private readonly images: AdapterImage[]
  private readonly open: { digest?: string; blocks: number[] }[] = []

  constructor(shape: Shape, images: AdapterImage[], policy: string) {
    const { blocks, blockBytes, copyRate, blockMs } = shape
    this.pool = new (policy === 'ours' ? Pool : RivalPool)(STORES_NOTHING, blocks, BLOCK_SIZE, blockBytes, copyRate)
    if (this.pool instanceof RivalPool) this.pool.value = RIVALS[policy]
    this.pool.tokenMs = blockMs / BLOCK_SIZE
    this.shape = shape
    this.images = images
  }

  run({ requests }: Trace): Outcome {
    for (const [i, request] of requests.entries()) {
      this.pool.now++
      if (this.open.length >= WIDTH) this.end()
      this.serve(request, i >= requests.length * WARM)
    }
    return this.outcome
  }

  private serve({ adapter, blocks, prompt }: Request, counts: boolean): void {
    const { pool, shape } = this
    const image = adapter < 0 ? undefined : this.images[adapter]
    const held: number[] = []
    for (const name of blocks.slice(0, prompt)) {
      const block = pool.prefixes.find(name)
      if (block === undefined) break
      held.push(block)
    }
    for (const block of held) pool.prefixes.acquire(block)
    const there = image !== undefined && pool.adapters.get(image.digest) !== undefined
    if (image) this.bring(image)
    const taken = pool.allocateKv(blocks.length - held.length)
    if (!taken) throw new Error(`${shape.name}: the pool is too small for ${WIDTH} requests at a time`)
    const all = [...held, ...taken]
    for (const [i, block] of all.entries()) {
      if (i >= held.length) pool.prefixes.register(block, blocks[i], image?.digest ?? '', blocks[i - 1])
      if (pool instanceof RivalPool) pool.use(block, 1, shape.blockMs)
    }
    this.open.push({ digest: image?.digest, blocks: all })
    if (!counts) return
    const { outcome } = this
    const { blockBytes, copyRate, blockMs } = shape
    const adapterBlocks = image?.blocks ?? 0
    outcome.wantedBytes += (adapterBlocks + prompt) * blockBytes
    outcome.hitBytes += ((there ? adapterBlocks : 0) + held.length) * blockBytes
    outcome.recomputedMs += (prompt - held.length) * blockMs
    if (!there) outcome.restoredMs += (adapterBlocks * blockBytes) / copyRate
  }

  private bring(image: AdapterImage): void {
    const { pool, shape } = this
    if (!pool.adapters.load(image, pool.now, pool.evict)) throw new Error(`${shape.name}: an adapter has no room`)
    pool.adapters.acquire(image.digest, pool.now)
    if (pool instanceof RivalPool) pool.use(image.digest, image.blocks, (image.blocks * shape.blockBytes) / shape.copyRate)
  }

  private end(): void {
    const { digest, blocks } = this.open.shift() as { digest?: string; blocks: number[] }
    const { pool } = this
    for (const block of blocks.reverse()) pool.prefixes.release(block, pool.now)
    if (digest !== undefined) pool.adapters.release(digest, pool.now)
  }
}
