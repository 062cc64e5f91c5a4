/** What a subscriber of KV events believes to be cached, kept as the documentation says; it finds fault with events that cannot be true. */

/** An event as it comes over the wire, or from the engine with hashes as texts. */
export type Heard =
  | { type: 'stored'; hashes: string[]; parent?: string | null }
  | { type: 'removed'; hashes: string[] }
  | { type: 'cleared' }

export class Believed {
  readonly blocks = new Set<string>()
  readonly faults: string[] = []
  stored = 0
  removed = 0

  take(event: Heard): void {
    if (event.type === 'cleared') {
      this.blocks.clear()
      return
    }
    for (const hash of event.hashes)
      if (event.type === 'stored') {
        if (this.blocks.has(hash)) this.faults.push(`${hash} is stored twice`)
        this.blocks.add(hash)
        this.stored++
      } else {
        if (!this.blocks.delete(hash)) this.faults.push(`${hash} is removed and was not there`)
        this.removed++
      }
  }

  /** Empty if it is so. */
  differences(actual: Iterable<string>): string[] {
    const real = new Set(actual)
    return [
      ...[...real].filter((hash) => !this.blocks.has(hash)).map((hash) => `${hash} is cached, and nobody was told`),
      ...[...this.blocks].filter((hash) => !real.has(hash)).map((hash) => `${hash} is not cached, and nobody was told`),
    ]
  }
}
