/** What choosing costs, in a pool with 2,000 idle adapters and 50,000 cached blocks. */
import { Pool } from '../../runtime/pool/pool.ts'
import { seeded } from '../../test/support/pace.ts'
import { quantile } from '../report.ts'
import { imagesOf, SHAPES, STORES_NOTHING } from './simulation.ts'

const ADAPTERS = 2000
const CACHED = 50_000
const CHAIN = 25
const BATCH = 100
const BATCHES = 100
const FRAMES = 8

/** A row for adapters of whole blocks and one for those that share them. */
export function microseconds(): string[][] {
  return [false, true].map((framed) => measured(framed))
}

function measured(framed: boolean): string[] {
  const [shape] = SHAPES
  const { next, below } = seeded(21)
  const blocks = CACHED + ADAPTERS * (framed ? 1 : 3)
  const frameBytes = framed ? shape.blockBytes / FRAMES : shape.blockBytes
  const pool = new Pool(STORES_NOTHING, blocks, 16, shape.blockBytes, shape.copyRate, frameBytes)
  pool.tokenMs = shape.blockMs / 16
  const images = imagesOf(shape, ADAPTERS).map((image) => ({
    ...image,
    frameBytes,
    blocks: framed ? 0 : 3,
    frames: framed ? 5 : 0,
  }))
  for (const image of images) {
    pool.now++
    pool.adapters.load(image, pool.now, pool.evict)
    for (let uses = Math.floor(1 / (next() + 0.01)); uses > 0; uses--) {
      pool.adapters.acquire(image.digest, pool.now)
      pool.adapters.release(image.digest, pool.now)
    }
  }
  let made = 0
  const chain = (length: number) => {
    pool.now++
    const name = made++
    const taken = pool.allocateKv(length) as number[]
    const key = `${images[below(ADAPTERS)].digest}:1`
    for (const [i, block] of taken.entries())
      pool.prefixes.register(block, `${name}.${i}`, key, i > 0 ? `${name}.${i - 1}` : undefined)
    // Some are used again, so that every shelf has some.
    for (let uses = Math.floor(1 / (next() + 0.01)) - 1; uses > 0; uses--)
      for (const block of taken) {
        pool.prefixes.acquire(block)
        pool.prefixes.release(block, pool.now)
      }
    for (const block of taken.reverse()) pool.prefixes.release(block, pool.now)
  }
  while (pool.blocks.free >= CHAIN) chain(CHAIN)
  const evictions: number[] = []
  const comings: number[] = []
  for (let i = 0; i < BATCHES; i++) {
    const started = performance.now()
    for (let k = 0; k < BATCH; k++) pool.evict('block')
    const evicted = performance.now()
    evictions.push(((evicted - started) * 1000) / BATCH)
    let came = 0
    for (; pool.blocks.free >= CHAIN; came += CHAIN) chain(CHAIN)
    comings.push(((performance.now() - evicted) * 1000) / came)
  }
  const [middle, late, coming] = [quantile(evictions, 0.5), quantile(evictions, 0.99), quantile(comings, 0.5)]
  return [framed ? 'in frames' : 'in blocks', middle.toFixed(1), late.toFixed(1), coming.toFixed(1)]
}
