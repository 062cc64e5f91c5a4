/** What an admission takes, computed from what pool and queue are at this moment. Nothing here changes anything. */
import type { Kept, Pool } from '../pool/pool.ts'
import type { AdapterImage } from '../types.ts'
import type { Sequence } from './sequence.ts'

export interface Need {
  /** Adapters that are not resident. */
  missing: AdapterImage[]
  /** Cached blocks that its tokens begin with. */
  prefix: number[]
  /** Blocks for its other tokens: all of them, not those of a first chunk. */
  tokenBlocks: number
  /** Blocks for what is missing. */
  adapterBlocks: number
  /** Blocks of what is there and idle, and would be in use: they can no longer make room for anything. */
  idleBlocks: number
}

/** What the pool has for newcomers, in blocks. */
export interface Room {
  /** Free, or held by what is idle. */
  available: number
  /** Of these, what those that run will still take. */
  claimed: number
}

/** Whether `need` can be met, and whoever runs still gets all that it will take: else a later step would throw away what this one begins. */
export function fits(need: Need, room: Room): boolean {
  return room.claimed + need.tokenBlocks + need.adapterBlocks + need.idleBlocks <= room.available
}

/** Blocks that one that runs, or is held back, will still take: for its tokens, and one to grow. */
export function claimOf(sequence: Sequence, blockSize: number): number {
  return sequence.blocksFor(sequence.length, blockSize) + 1
}

export function claimsOf(running: readonly Sequence[], blockSize: number): number {
  let claimed = 0
  for (const sequence of running) claimed += claimOf(sequence, blockSize)
  return claimed
}

/** The need of one that waits. `kept`: what is idle but already spoken for, and so no longer counted as available. */
export function needOf(
  sequence: Sequence,
  pool: Pool,
  images: ReadonlyMap<string, AdapterImage>,
  prefixCache: boolean,
  kept?: Kept,
): Need {
  const missing = new Set<AdapterImage>()
  const idle = new Set<string>()
  let adapterBlocks = 0
  let idleBlocks = 0
  for (const { digest } of sequence.uses) {
    const resident = pool.adapters.get(digest)
    const image = images.get(digest) as AdapterImage
    if (!resident && !missing.has(image)) {
      missing.add(image)
      adapterBlocks += image.blocks
    } else if (resident?.references === 0 && !kept?.adapters.has(digest) && !idle.has(digest)) {
      idle.add(digest)
      idleBlocks += resident.blocks.length
    }
  }
  const prefix = prefixCache ? cachedPrefix(sequence, pool) : []
  for (const block of prefix) if (pool.prefixes.isIdle(block) && !kept?.prefixes.has(block)) idleBlocks++
  const tokenBlocks = sequence.blocksFor(sequence.tokens.length, pool.blockSize) - prefix.length
  return { missing: [...missing], prefix, tokenBlocks, adapterBlocks, idleBlocks }
}

/** The longest cached chain of full blocks; at least the last token is computed, since its logits are wanted. */
function cachedPrefix(sequence: Sequence, { blockSize, prefixes }: Pool): number[] {
  const prefix: number[] = []
  if (sequence.scores) return prefix
  const most = Math.floor((sequence.tokens.length - 1) / blockSize)
  for (let i = 0; i < most; i++) {
    const block = prefixes.find(sequence.hash(i, blockSize))
    if (block === undefined) break
    prefix.push(block)
  }
  return prefix
}
