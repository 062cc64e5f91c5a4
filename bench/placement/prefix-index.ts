/**
 * What the router remembers of prompts, as llm-d's approximate prefix producer does: for each replica the blocks of prompts that were sent there, those used longest ago forgotten first. It asks no replica, so it
 * knows at once where a request went and never that its blocks are gone. An adapter's name is hashed into a prompt's first block.
 */

/** It counts in blocks of its own size, at least this many tokens. */
export const INDEX_TOKENS = 64

export class PrefixIndex {
  /** Of a replica: blocks by what they begin, oldest first. A negative key is a prompt's own end, which nobody shares. */
  private readonly blocks = new Map<number, number>()
  private readonly capacity: number
  private held = 0
  private tails = 0

  /** `capacity`: blocks, what `vllm:cache_config_info` says. */
  constructor(capacity: number) {
    this.capacity = capacity
  }

  /** Blocks of such a prompt that are thought to be there. */
  matched(adapter: number): number {
    return this.blocks.get(adapter) ?? 0
  }

  /** A request was sent there. `shared` tokens of its prompt are the adapter's. */
  add(adapter: number, prompt: number, shared: number): void {
    const common = Math.floor(shared / INDEX_TOKENS)
    if (common > 0) this.put(adapter, common)
    this.put(--this.tails, blocksOf(prompt) - common)
    for (const [key, count] of this.blocks) {
      if (this.held <= this.capacity) break
      this.blocks.delete(key)
      this.held -= count
    }
  }

  private put(key: number, count: number): void {
    this.held += count - (this.blocks.get(key) ?? 0)
    this.blocks.delete(key)
    this.blocks.set(key, count)
  }
}

/** The last one may be part of a block; it counts. */
export const blocksOf = (prompt: number) => Math.ceil(prompt / INDEX_TOKENS)
