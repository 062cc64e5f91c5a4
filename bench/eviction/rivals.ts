/** The policies that ours is measured against. They choose in the same pool, by looking at everything that is idle. */
import { type Choice, Pool } from '../../runtime/pool/pool.ts'
import type { Resident } from '../../runtime/pool/residency.ts'

/** What a rival knows of something: when it was used last, how often since it came, what it takes and what it costs. */
export interface Known {
  lastUsed: number
  uses: number
  blocks: number
  restoreMs: number
  /** GDSF's, set at each use. */
  aged: number
}

/** The least leaves. `age`: GDSF's, the value of the last one that left. */
export type Value = (known: Known, now: number, age: number) => number

export const RIVALS: Record<string, Value> = {
  LRU: ({ lastUsed }) => lastUsed,
  LFU: ({ uses, lastUsed }) => uses + lastUsed * 1e-9,
  GDSF: ({ uses, restoreMs, blocks, aged }) => aged + (uses * restoreMs) / blocks,
  before: ({ lastUsed, restoreMs, blocks }, now) => restoreMs / blocks / (now - lastUsed + 1),
}

/** A pool with another policy: for each kind of thing what it knows, by digest and by block. */
export class RivalPool extends Pool {
  value: Value = RIVALS.LRU
  private age = 0
  private readonly known = new Map<string | number, Known>()

  /** To be told of each use, of a digest or a block. */
  use(key: string | number, blocks: number, restoreMs: number): void {
    const known = this.known.get(key) ?? { lastUsed: 0, uses: 0, blocks, restoreMs, aged: 0 }
    this.known.set(key, { ...known, lastUsed: this.now, uses: known.uses + 1, aged: this.age })
  }

  protected override choose(): Choice | undefined {
    let least = Number.POSITIVE_INFINITY
    let prefix: number | undefined
    let resident: Resident | undefined
    const look = (known: Known | undefined): boolean => {
      if (!known) throw new Error('something is idle that was never used')
      const value = this.value(known, this.now, this.age)
      if (value >= least) return false
      least = value
      return true
    }
    for (const block of this.prefixes.leafBlocks()) if (look(this.known.get(block))) prefix = block
    for (const one of this.adapters.all())
      if (one.references === 0 && look(this.known.get(one.image.digest))) {
        resident = one
        prefix = undefined
      }
    if (least === Number.POSITIVE_INFINITY) return undefined
    if (this.value === RIVALS.GDSF) this.age = least
    this.known.delete(prefix ?? (resident as Resident).image.digest)
    return prefix === undefined ? { residents: [resident as Resident] } : { prefix }
  }
}
