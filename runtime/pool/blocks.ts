/**
 * The pool's blocks: who has which. A block is free, an adapter's, cut into frames that adapters share (frames.ts), or a KV block with `references` sequences; a KV
 * block without references that holds a registered prefix is cached. Only numbers live here; the bytes are native/pool's.
 */

export const FREE = 0
export const KV = 1
export const ADAPTER = 2
export const FRAMED = 3
export type Owner = typeof FREE | typeof KV | typeof ADAPTER | typeof FRAMED

/** Frees at least one block if it can; false when nothing evictable is left. */
export type Evict = () => boolean

export class BlockPool {
  readonly count: number
  readonly owner: Uint8Array
  /** Sequences that use a KV block. */
  readonly references: Int32Array
  private readonly freeList: number[]

  constructor(count: number) {
    this.count = count
    this.owner = new Uint8Array(count)
    this.references = new Int32Array(count)
    this.freeList = Array.from({ length: count }, (_, i) => count - 1 - i)
  }

  get free(): number {
    return this.freeList.length
  }

  /** `n` blocks, evicting while too few are free; undefined (and nothing taken) when that does not suffice. */
  allocate(n: number, owner: Exclude<Owner, typeof FREE>, evict: Evict): number[] | undefined {
    while (this.freeList.length < n) if (!evict()) return undefined
    const blocks = this.freeList.splice(this.freeList.length - n, n).reverse()
    for (const block of blocks) {
      this.owner[block] = owner
      this.references[block] = owner === KV ? 1 : 0
    }
    return blocks
  }

  /** Gives a block back. It must have no references. */
  release(block: number): void {
    if (this.owner[block] === FREE || this.references[block] !== 0)
      throw new Error(`block ${block} is released while free or in use`)
    this.owner[block] = FREE
    this.freeList.push(block)
  }

  /** The free list, for the invariant validator. */
  freeBlocks(): readonly number[] {
    return this.freeList
  }
}
