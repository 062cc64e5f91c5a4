/** The one pool: KV blocks, cached prefixes and resident adapters over the same blocks, with one eviction policy for all that is idle. */
import { BlockPool, KV } from './blocks.ts'
import { type Evictable, leavesBefore } from './eviction.ts'
import { PrefixCache } from './prefix-cache.ts'
import { AdapterResidency, type AdapterTable, type Resident } from './residency.ts'

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

  constructor(native: AdapterTable, blockCount: number, blockSize: number, blockBytes: number, copyRate = COPY_RATE.host) {
    this.blocks = new BlockPool(blockCount)
    this.prefixes = new PrefixCache(this.blocks)
    this.adapters = new AdapterResidency(native, this.blocks)
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
    return this.blocks.allocate(n, KV, this.evictOne)
  }

  readonly evictOne = (): boolean => this.evict()

  /** Puts out the idle adapter or cached prefix that costs least to lose, and is not `kept`. False when there is none. */
  evict(kept?: Kept): boolean {
    const prefix = this.prefixes.oldest(kept?.prefixes)
    const adapter = this.adapters.oldestIdle(kept?.adapters)
    if (!prefix && !adapter) return false
    if (adapter && (!prefix || leavesBefore(this.ofAdapter(adapter), this.ofPrefix(prefix.lastUsed), this.now))) {
      this.adapters.evict(adapter)
      this.adapters.evictions++
    } else if (prefix) {
      this.prefixes.evict(prefix.block)
      this.prefixEvictions++
    }
    return true
  }

  private ofAdapter(resident: Resident): Evictable {
    const restoreMs = (resident.blocks.length * this.blockBytes) / this.copyRate
    return { lastUsed: resident.lastUsed, blocks: resident.blocks.length, restoreMs }
  }

  private ofPrefix(lastUsed: number): Evictable {
    return { lastUsed, blocks: 1, restoreMs: this.blockSize * this.tokenMs }
  }
}
