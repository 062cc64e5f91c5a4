/** What an admission takes, computed from what pool and queue are at this moment. Nothing here changes anything. */
import type { Kept, Pool } from '../pool/pool.ts'
import type { Resident } from '../pool/residency.ts'
import type { AdapterImage } from '../types.ts'
import type { Sequence } from './sequence.ts'

export interface Need {
  /** Adapters that are not resident. */
  missing: AdapterImage[]
  /** Cached blocks that its tokens begin with. */
  prefix: number[]
  /** Blocks for its other tokens: all of them, not those of a first chunk. */
  tokenBlocks: number
  /** Adapters that are there and idle, and would be in use: what they hold can no longer make room for anything. */
  idle: Resident[]
  /** Of the cached blocks, those that are idle, likewise. */
  idlePrefix: number
}

/** What the pool has for newcomers. */
export class Room {
  /** Blocks that are free, or could be. */
  available: number
  /** Of these, what those that run will still take. */
  claimed: number
  /** Frames that are free, or could be, of blocks that are not available. */
  spare: number
  private readonly pool: Pool
  /** By block: frames of those who would be in use, beside those that are. */
  private readonly busy: Map<number, number>

  constructor(pool: Pool, claimed: number, from?: Room) {
    this.pool = pool
    this.claimed = claimed
    this.available = from?.available ?? pool.available()
    this.spare = from?.spare ?? pool.adapters.frames.spare
    this.busy = new Map(from?.busy)
  }

  /** An idle adapter will be in use. */
  hold({ blocks, pieces }: Resident): void {
    const { frames } = this.pool.adapters
    this.available -= blocks.length
    for (const { block, count } of pieces) {
      const others = this.busy.get(block) ?? 0
      if (others + frames.busyIn(block) > 0) this.spare -= count
      else {
        this.available--
        this.spare += frames.perBlock - count
      }
      this.busy.set(block, others + count)
    }
  }

  /** What is left once the adapters and the prefix of `need` are in use. Its other tokens' blocks are not taken. */
  beside(need: Need): Room {
    const room = new Room(this.pool, this.claimed, this)
    for (const resident of need.idle) room.hold(resident)
    room.available -= need.idlePrefix
    const { perBlock } = this.pool.adapters.frames
    const { blocks, frames } = sizeOf(need.missing)
    const cut = Math.ceil(Math.max(0, frames - room.spare) / perBlock)
    room.available -= blocks + cut
    room.spare += cut * perBlock - frames
    return room
  }
}

/** Whether `need` can be met, and whoever runs still gets all that it will take: else a later step would throw away what this one begins. */
export function fits(need: Need, room: Room): boolean {
  const { available, claimed } = room.beside(need)
  return claimed + need.tokenBlocks <= available
}

/** Whole blocks and frames of all of these. */
export function sizeOf(images: Iterable<AdapterImage>): { blocks: number; frames: number } {
  const size = { blocks: 0, frames: 0 }
  for (const { blocks, frames } of images) {
    size.blocks += blocks
    size.frames += frames
  }
  return size
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
  const idle = new Set<Resident>()
  for (const { digest } of sequence.uses) {
    const resident = pool.adapters.get(digest)
    if (!resident) missing.add(images.get(digest) as AdapterImage)
    else if (resident.references === 0 && !kept?.adapters.has(digest)) idle.add(resident)
  }
  const prefix = prefixCache ? cachedPrefix(sequence, pool) : []
  const idlePrefix = prefix.filter((block) => pool.prefixes.isIdle(block) && !kept?.prefixes.has(block)).length
  const tokenBlocks = sequence.blocksFor(sequence.tokens.length, pool.blockSize) - prefix.length
  return { missing: [...missing], prefix, tokenBlocks, idle: [...idle], idlePrefix }
}

/** The longest cached chain of full blocks; at least the last token is computed, since its logits are wanted. */
function cachedPrefix(sequence: Sequence, { blockSize, prefixes }: Pool): number[] {
  const prefix: number[] = []
  if (sequence.readsAll) return prefix
  const most = Math.floor((sequence.tokens.length - 1) / blockSize)
  for (let i = 0; i < most; i++) {
    const block = prefixes.find(sequence.hash(i, blockSize))
    if (block === undefined) break
    prefix.push(block)
  }
  return prefix
}
