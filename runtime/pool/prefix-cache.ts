/**
 * Full KV blocks by what they hold: a chain of hashes over (everything before, the block's tokens), rooted in the adapters' identity and the request's
 * cache salt; where adapters change K and V from a later position on, their identity enters the chain there. So a prefix is shared only by sequences that would compute the same bits, and a replaced adapter's prefixes can never match again.
 */
import { createHash } from 'node:crypto'
import { type BlockPool, KV } from './blocks.ts'

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

interface Cached {
  hash: string
  /** Adapters of the block ('' where it holds the base's K and V), so that a removed adapter's prefixes can be dropped. */
  adapterKey: string
}

export class PrefixCache {
  /** Registered blocks: hash → block, block → hash. */
  private readonly byHash = new Map<string, number>()
  private readonly byBlock = new Map<number, Cached>()
  /** Blocks without references, least recently used first: block → step of last use. */
  private readonly idle = new Map<number, number>()
  private readonly pool: BlockPool

  constructor(pool: BlockPool) {
    this.pool = pool
  }

  get idleBlocks(): number {
    return this.idle.size
  }

  isRegistered(block: number): boolean {
    return this.byBlock.has(block)
  }

  isIdle(block: number): boolean {
    return this.idle.has(block)
  }

  find(hash: string): number | undefined {
    return this.byHash.get(hash)
  }

  /** Takes a reference on a registered block. */
  acquire(block: number): void {
    this.idle.delete(block)
    this.pool.references[block]++
  }

  /** Makes a full block findable; the first block of a hash stays the one. */
  register(block: number, hash: string, adapterKey: string): void {
    if (this.byHash.has(hash) || this.byBlock.has(block)) return
    this.byHash.set(hash, block)
    this.byBlock.set(block, { hash, adapterKey })
  }

  /** Drops a sequence's reference: the block is then cached if registered, free otherwise. */
  release(block: number, now: number): void {
    if (--this.pool.references[block] > 0) return
    if (this.byBlock.has(block)) this.idle.set(block, now)
    else this.pool.release(block)
  }

  /** The block that would leave first, of those that are not `kept`, and when it was last used. */
  oldest(kept?: ReadonlySet<number>): { block: number; lastUsed: number } | undefined {
    for (const [block, lastUsed] of this.idle) if (!kept?.has(block)) return { block, lastUsed }
    return undefined
  }

  evict(block: number): void {
    this.forget(block)
    this.idle.delete(block)
    this.pool.release(block)
  }

  /** Forgets every prefix whose chain involves an adapter for which `involved` holds; those in use lose only their registration. Returns blocks freed. */
  dropWhere(involved: (adapterKey: string) => boolean): number {
    let freed = 0
    for (const [block, cached] of [...this.byBlock]) {
      if (!involved(cached.adapterKey)) continue
      if (this.idle.has(block)) {
        this.evict(block)
        freed++
      } else {
        this.forget(block)
      }
    }
    return freed
  }

  private forget(block: number): void {
    const cached = this.byBlock.get(block)
    if (!cached || this.pool.owner[block] !== KV) throw new Error(`block ${block} is not a registered KV block`)
    this.byBlock.delete(block)
    this.byHash.delete(cached.hash)
  }
}
