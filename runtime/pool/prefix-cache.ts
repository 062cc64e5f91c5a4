/**
 * Full KV blocks by what they hold: a chain of hashes over (everything before, the block's tokens), rooted in the adapters' identity and the request's
 * cache salt; where adapters change K and V from a later position on, their identity enters the chain there. So a prefix is shared only by sequences that would compute the same bits, and a replaced adapter's prefixes can never match again.
 */
import { createHash } from 'node:crypto'
import { type BlockPool, KV } from './blocks.ts'
import type { CacheEvents } from './cache-events.ts'
import { type Usage, used } from './eviction.ts'
import { Odds } from './odds.ts'
import { Shelves } from './shelves.ts'
import { Remembered, Turnover } from './turnover.ts'

/** Root of a sequence's chain. Each part in its own place: a salt that is like a tenant's name is not that tenant. */
export function rootHash(adapterKey: string, cacheSalt: string | undefined, tenant?: string): string {
  return createHash('sha256')
    .update(JSON.stringify([adapterKey, cacheSalt ?? null, tenant ?? null]))
    .digest('base64')
}

/**
 * Where a chain that was the base's goes on as the adapters': the parent of the first block that is theirs, from position `from` on. The same tokens may have been
 * computed with another `from` inside the block: what comes after it decides where an invocation occurs last.
 */
export function adapterHash(parent: string, adapterKey: string, from: number): string {
  return createHash('sha256')
    .update(JSON.stringify([parent, adapterKey, from]))
    .digest('base64')
}

/** Hash of the block that follows `parent` and holds `tokens[from, to)`. */
export function blockHash(parent: string, tokens: readonly number[], from: number, to: number): string {
  return createHash('sha256')
    .update(parent)
    .update(Int32Array.from(tokens.slice(from, to)))
    .digest('base64')
}

/** Blocks, at most, whose uses are remembered when they have left: some 20 MB. */
const REMEMBERED = 100_000

interface Cached {
  hash: string
  /** Adapters of the block ('' where it holds the base's K and V), so that a removed adapter's prefixes can be dropped. */
  adapterKey: string
  /** Hash of the block before it. */
  parent: string | undefined
  /** Uses up to when it was last idle, and those since then. */
  usage: Usage | undefined
  uses: number
}

export class PrefixCache {
  /** Registered blocks: hash → block, block → hash. */
  private readonly byHash = new Map<string, number>()
  private readonly byBlock = new Map<number, Cached>()
  /** Blocks without references. */
  private readonly idle = new Set<number>()
  /** Of these, the ones that no idle block follows: a block can be found only through those before it. */
  private readonly leaves = new Shelves<number>()
  /** How many idle blocks follow a hash, whether or not a block is registered for it now. */
  private readonly idleAfter = new Map<string, number>()
  /** Of those that left. */
  private readonly remembered: Remembered
  readonly odds = new Odds()
  /** Where somebody is told what comes and leaves. */
  events: CacheEvents | undefined
  private readonly pool: BlockPool
  private readonly turnover: Turnover

  constructor(pool: BlockPool, turnover = new Turnover(pool.count)) {
    this.pool = pool
    this.turnover = turnover
    this.remembered = new Remembered(Math.min(pool.count, REMEMBERED))
  }

  get idleBlocks(): number {
    return this.idle.size
  }

  /** Of all registered blocks. */
  hashes(): IterableIterator<string> {
    return this.byHash.keys()
  }

  isRegistered(block: number): boolean {
    return this.byBlock.has(block)
  }

  isIdle(block: number): boolean {
    return this.idle.has(block)
  }

  /** Whether it is idle and no idle block follows it. */
  isLeaf(block: number): boolean {
    return this.leaves.has(block)
  }

  /** Whether an idle block follows it. */
  isFollowed(block: number): boolean {
    return this.idleAfter.has(this.cached(block).hash)
  }

  find(hash: string): number | undefined {
    return this.byHash.get(hash)
  }

  /** Takes a reference on a registered block. */
  acquire(block: number): void {
    const cached = this.cached(block)
    if (this.noteUsed(block)) this.odds.returned(cached.usage as Usage)
    cached.uses++
    this.pool.references[block]++
  }

  /** Makes a full block findable; the first block of a hash stays the one: false for another. `parent`: hash of the block before it. */
  register(block: number, hash: string, adapterKey: string, parent?: string): boolean {
    if (this.byHash.has(hash) || this.byBlock.has(block)) return false
    this.byHash.set(hash, block)
    const usage = this.remembered.take(hash)
    if (usage) this.odds.returned(usage)
    this.byBlock.set(block, { hash, adapterKey, parent, usage, uses: 1 })
    return true
  }

  /** Drops a sequence's reference: the block is then cached if registered, free otherwise. */
  release(block: number, now: number): void {
    if (--this.pool.references[block] > 0) return
    const cached = this.byBlock.get(block)
    if (!cached) {
      this.pool.release(block)
      return
    }
    cached.usage = used(cached.usage, cached.uses, this.turnover.clock(now))
    cached.uses = 0
    this.noteIdle(block, cached)
  }

  /** Uses of an idle block. */
  usageOf(block: number): Usage {
    return this.cached(block).usage as Usage
  }

  /** Those that would leave first, of all that are idle and not `kept`: of those used about as often the one that was used longest ago, and each only once none that follows it is there. */
  candidates(kept?: ReadonlySet<number>): Generator<number> {
    return this.leaves.fronts((block) => kept?.has(block) ?? false)
  }

  /** Idle blocks that no idle block follows. */
  leafBlocks(): IterableIterator<number> {
    return this.leaves.all()
  }

  /** Puts an idle block out; its uses are remembered. */
  evict(block: number): void {
    const { hash, usage } = this.cached(block)
    this.remembered.note(hash, usage as Usage)
    this.odds.leaves(usage as Usage)
    this.noteUsed(block)
    this.forget(block)
    this.pool.release(block)
  }

  /** Forgets every prefix whose chain involves an adapter for which `involved` holds; those in use lose only their registration. Returns blocks freed. */
  dropWhere(involved: (adapterKey: string) => boolean): number {
    let freed = 0
    for (const [block, cached] of [...this.byBlock]) {
      if (!involved(cached.adapterKey)) continue
      const idle = this.noteUsed(block)
      this.forget(block)
      if (!idle) continue
      this.pool.release(block)
      freed++
    }
    return freed
  }

  private cached(block: number): Cached {
    const cached = this.byBlock.get(block)
    if (!cached || this.pool.owner[block] !== KV) throw new Error(`block ${block} is not a registered KV block`)
    return cached
  }

  private forget(block: number): void {
    const { hash } = this.cached(block)
    this.byHash.delete(hash)
    this.byBlock.delete(block)
    this.events?.removed(hash)
  }

  private noteIdle(block: number, cached: Cached): void {
    this.idle.add(block)
    if (!this.idleAfter.has(cached.hash)) this.leaves.put(block, cached.usage as Usage)
    if (cached.parent === undefined) return
    const others = this.idleAfter.get(cached.parent) ?? 0
    this.idleAfter.set(cached.parent, others + 1)
    const before = others === 0 ? this.byHash.get(cached.parent) : undefined
    if (before !== undefined) this.leaves.remove(before)
  }

  /** It is no longer idle, if it was. */
  private noteUsed(block: number): boolean {
    if (!this.idle.delete(block)) return false
    this.leaves.remove(block)
    const { parent } = this.cached(block)
    if (parent === undefined) return true
    const others = (this.idleAfter.get(parent) as number) - 1
    if (others > 0) {
      this.idleAfter.set(parent, others)
      return true
    }
    this.idleAfter.delete(parent)
    const before = this.byHash.get(parent)
    if (before !== undefined && this.idle.has(before)) this.leaves.put(before, this.usageOf(before))
    return true
  }
}
