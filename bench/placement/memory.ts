/** A replica's pool in blocks: adapters, sequences and the beginnings of prompts share it; what is idle longest gives way first. */

/** One thing in the pool that several sequences may use at a time. */
interface Kept {
  blocks: number
  users: number
}

export class Memory {
  free: number
  /** Blocks that idle things take: they give way. */
  idleBlocks = 0
  /** Of things kept, also those in use. */
  private readonly kept = new Map<string, Kept>()
  /** Keys without users, the longest idle first. */
  private readonly idle = new Set<string>()
  /** Told of what gave way. */
  private readonly gone: (key: string) => void

  constructor(blocks: number, gone: (key: string) => void) {
    this.free = blocks
    this.gone = gone
  }

  has(key: string): boolean {
    return this.kept.has(key)
  }

  /** A further user of something that is there. */
  use(key: string): void {
    const one = this.kept.get(key) as Kept
    if (one.users++ > 0) return
    this.idle.delete(key)
    this.idleBlocks -= one.blocks
  }

  /** Blocks that were taken become this thing's, with one user. */
  keep(key: string, blocks: number): void {
    this.kept.set(key, { blocks, users: 1 })
  }

  /** One user less. */
  leave(key: string): void {
    const one = this.kept.get(key) as Kept
    if (--one.users > 0) return
    this.idle.add(key)
    this.idleBlocks += one.blocks
  }

  /** Takes blocks, from what is idle where too few are free; false, and nothing changed, where that is not enough. */
  take(blocks: number): boolean {
    if (blocks > this.free + this.idleBlocks) return false
    for (const key of this.idle) {
      if (blocks <= this.free) break
      const one = this.kept.get(key) as Kept
      this.idle.delete(key)
      this.kept.delete(key)
      this.idleBlocks -= one.blocks
      this.free += one.blocks
      this.gone(key)
    }
    this.free -= blocks
    return true
  }

  /** All keys, those used last at the end. */
  keys(): string[] {
    const used = [...this.kept].filter(([, { users }]) => users > 0).map(([key]) => key)
    return [...this.idle, ...used]
  }
}
