/** The tree of adapters and what was computed with them: how many cached blocks that were found again hang on each adapter. */

/** Digests of the adapters in a chain's key, which names each with its weight. */
export function digestsOf(adapterKey: string): string[] {
  return adapterKey === '' ? [] : adapterKey.split(',').map((use) => use.split(':')[0])
}

export class Branches {
  private readonly counts = new Map<string, number>()

  /** Blocks that were found again, of chains with this adapter. */
  of(digest: string): number {
    return this.counts.get(digest) ?? 0
  }

  /** So many more, or fewer. */
  add(adapterKey: string, blocks: number): void {
    for (const digest of digestsOf(adapterKey)) {
      const count = this.of(digest) + blocks
      if (count > 0) this.counts.set(digest, count)
      else this.counts.delete(digest)
    }
  }
}
