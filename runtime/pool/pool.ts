/** The one pool: KV blocks, cached prefixes and resident adapters over the same blocks, with one eviction policy for all that is idle. */
import { BlockPool, KV } from './blocks.ts'
import { type Evictable, leavesBefore } from './eviction.ts'
import { PrefixCache } from './prefix-cache.ts'
import { AdapterResidency, type AdapterTable, type Resident, type Wanted } from './residency.ts'

/** Host memory to pool, in bytes a millisecond, careful guesses both: what one core copies, and what pinned memory gives over 16 lanes of PCIe 4. */
export const COPY_RATE = { host: 4e6, device: 25e6 }

/** What is idle and must stay all the same: adapters by digest, and blocks of cached prefixes. */
export interface Kept {
  adapters: Set<string>
  prefixes: Set<number>
}

export class Pool {
  readonly blocks: BlockPool
  readonly prefixes: PrefixCache
  readonly adapters: AdapterResidency
  readonly blockSize: number
  readonly blockBytes: number
  /** Step number, the clock of last use. */
  now = 0
  /** Smoothed milliseconds to compute one token of many; the engine keeps it. */
  tokenMs = 1
  prefixEvictions = 0
  private readonly copyRate: number

  constructor(
    native: AdapterTable,
    blockCount: number,
    blockSize: number,
    blockBytes: number,
    copyRate = COPY_RATE.host,
    frameBytes = blockBytes,
  ) {
    this.blocks = new BlockPool(blockCount)
    this.prefixes = new PrefixCache(this.blocks)
    this.adapters = new AdapterResidency(native, this.blocks, blockBytes / frameBytes)
    this.blockSize = blockSize
    this.blockBytes = blockBytes
    this.copyRate = copyRate
  }

  /** Blocks that are free or could be. */
  available(): number {
    return this.blocks.free + this.prefixes.idleBlocks + this.adapters.idleBlocks
  }

  allocateKv(n: number): number[] | undefined {
    // Evicting for an allocation that fails all the same would throw good things away.
    if (n > this.blocks.free && n > this.available()) return undefined
    return this.blocks.allocate(n, KV, () => this.evict('block'))
  }

  /** Puts out what costs least to lose for what is wanted, of what is idle and not `kept`: a cached prefix, an adapter, or those that share a block. False when nothing helps. */
  readonly evict = (wanted: Wanted, kept?: Kept): boolean => {
    let best: Choice | undefined
    for (const choice of this.choices(wanted, kept))
      if (choice && (!best || leavesBefore(choice.worth, best.worth, this.now))) best = choice
    if (!best) return false
    if (best.prefix !== undefined) {
      this.prefixes.evict(best.prefix)
      this.prefixEvictions++
    }
    for (const resident of best.residents ?? []) {
      this.adapters.evict(resident)
      this.adapters.evictions++
    }
    return true
  }

  /** Of each kind the one that was used longest ago. */
  private choices(wanted: Wanted, kept?: Kept): (Choice | undefined)[] {
    const { adapters, prefixes } = this
    if (wanted === 'shared frames') return [this.forFrames(adapters.oldestFramed(kept?.adapters))]
    const prefix = prefixes.oldest(kept?.prefixes)
    const cached = prefix && {
      prefix: prefix.block,
      worth: { lastUsed: prefix.lastUsed, blocks: 1, restoreMs: this.blockSize * this.tokenMs },
    }
    if (wanted === 'frames') return [cached, this.forFrames(adapters.oldestIdle(kept?.adapters))]
    const whole = adapters.oldestWhole(kept?.adapters)
    const shared = adapters.oldestShared(kept?.adapters)
    return [
      cached,
      whole && this.forBlocks([whole], whole.lastUsed),
      // Alone each of them frees nothing.
      shared && this.forBlocks(shared.residents, shared.lastUsed),
    ]
  }

  private forBlocks(residents: Resident[], lastUsed: number): Choice {
    const restoreMs = residents.reduce((sum, resident) => sum + this.sizeOf(resident), 0) * (this.blockBytes / this.copyRate)
    return { residents, worth: { lastUsed, blocks: this.adapters.freedBy(residents), restoreMs } }
  }

  private forFrames(resident: Resident | undefined): Choice | undefined {
    if (!resident) return undefined
    const blocks = this.sizeOf(resident)
    return {
      residents: [resident],
      worth: { lastUsed: resident.lastUsed, blocks, restoreMs: blocks * (this.blockBytes / this.copyRate) },
    }
  }

  /** In blocks and parts of one. */
  private sizeOf({ blocks, frames }: Resident): number {
    return blocks.length + frames.length / this.adapters.frames.perBlock
  }
}

/** What could be put out. */
interface Choice {
  prefix?: number
  residents?: Resident[]
  worth: Evictable
}
