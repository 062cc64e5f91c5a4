/** The one pool: KV blocks, cached prefixes and resident adapters over the same blocks, with one eviction policy for all that is idle. */
import { BlockPool, KV } from './blocks.ts'
import { loss } from './eviction.ts'
import { PrefixCache } from './prefix-cache.ts'
import { AdapterResidency, type AdapterTable, type Resident, type Wanted } from './residency.ts'
import { Turnover } from './turnover.ts'

/**
 * Bringing an adapter from host memory into the pool, in bytes a millisecond. The CPU copies nothing and notes where the rows lie: 0.03 ms for 9.8 MB in 6,720 rows, measured.
 * To a device, a careful guess: what pinned memory gives over 16 lanes of PCIe 4.
 */
export const COPY_RATE = { host: 300e6, device: 25e6 }

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
  readonly turnover: Turnover
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
    this.turnover = new Turnover(blockCount)
    this.prefixes = new PrefixCache(this.blocks, this.turnover)
    this.adapters = new AdapterResidency(native, this.blocks, blockBytes / frameBytes, this.turnover)
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
    const choice = this.choose(wanted, kept)
    if (!choice) return false
    const free = this.blocks.free
    if (choice.prefix !== undefined) {
      this.prefixes.evict(choice.prefix)
      this.prefixEvictions++
    }
    for (const resident of choice.residents ?? []) {
      this.adapters.evict(resident)
      this.adapters.evictions++
    }
    this.turnover.evicted(this.blocks.free - free, this.now)
    return true
  }

  /** What would leave next: of each kind those that are worth least among their like are weighed against each other. */
  protected choose(wanted: Wanted, kept?: Kept): Choice | undefined {
    const { prefixes, now, blockMs } = this
    let prefix: number | undefined
    let residents: Resident[] | undefined
    let least = Number.POSITIVE_INFINITY
    if (wanted !== 'shared frames')
      for (const block of prefixes.candidates(kept?.prefixes)) {
        const usage = prefixes.usageOf(block)
        const worth = loss(usage, prefixes.odds.of(usage), blockMs, now)
        if (worth >= least) continue
        least = worth
        prefix = block
      }
    for (const { group, blocks } of this.groups(wanted, kept)) {
      const worth = this.lossOf(group) / blocks
      if (worth >= least) continue
      least = worth
      residents = group
    }
    if (residents) return { residents }
    return prefix === undefined ? undefined : { prefix }
  }

  /** Adapters that would leave together, and the blocks that this frees, or the parts of one where frames are wanted. */
  private *groups(wanted: Wanted, kept?: Kept): Generator<{ group: Resident[]; blocks: number }> {
    const { adapters } = this
    const others = kept?.adapters
    if (wanted === 'block') {
      for (const resident of adapters.candidates('blocks', others))
        yield { group: [resident], blocks: adapters.freedBy([resident]) }
      // Alone each of them frees nothing.
      for (const group of adapters.sharing(others)) yield { group, blocks: adapters.freedBy(group) }
      return
    }
    if (wanted === 'frames')
      for (const resident of adapters.candidates('blocks', others)) yield { group: [resident], blocks: this.sizeOf(resident) }
    for (const resident of adapters.candidates('frames', others)) yield { group: [resident], blocks: this.sizeOf(resident) }
  }

  private lossOf(group: readonly Resident[]): number {
    const blockCopyMs = this.blockBytes / this.copyRate
    let sum = 0
    for (const one of group) sum += loss(one, this.adapters.odds.of(one), this.sizeOf(one) * blockCopyMs, this.now)
    return sum
  }

  /** To compute a block of tokens. */
  private get blockMs(): number {
    return this.blockSize * this.tokenMs
  }

  /** In blocks and parts of one. */
  private sizeOf({ blocks, frames }: Resident): number {
    return blocks.length + frames.length / this.adapters.frames.perBlock
  }
}

/** What could be put out. */
export interface Choice {
  prefix?: number
  residents?: Resident[]
}
