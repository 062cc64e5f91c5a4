/** How fast the pool is turned over, which says for how long past uses tell something of coming ones; and the uses of what has left. */
import { type Clock, MEMORY, type Usage } from './eviction.ts'

/** Parts of the pool after whose eviction the speed is measured anew. */
const PARTS = 4

export class Turnover {
  /** Steps in which a use counts half. Before anything has been measured all count. */
  halfLife = Number.POSITIVE_INFINITY
  private readonly part: number
  private freed = 0
  private since = 0

  /** `blocks` of the pool. */
  constructor(blocks: number) {
    this.part = Math.max(1, Math.ceil(blocks / PARTS))
  }

  clock(now: number): Clock {
    return { now, halfLife: this.halfLife }
  }

  /** So many blocks were evicted. */
  evicted(blocks: number, now: number): void {
    this.freed += blocks
    if (this.freed < this.part) return
    const steps = (MEMORY * Math.max(1, now - this.since) * PARTS * this.part) / this.freed
    this.halfLife = this.halfLife === Number.POSITIVE_INFINITY ? steps : (this.halfLife + steps) / 2
    this.freed = 0
    this.since = now
  }
}

/** Uses of what is no longer there, the last `most` that left: what comes back has not to begin anew. */
export class Remembered {
  private readonly usages = new Map<string, Usage>()
  private readonly most: number

  constructor(most: number) {
    this.most = most
  }

  note(key: string, { weight, lastUsed }: Usage): void {
    this.usages.delete(key)
    this.usages.set(key, { weight, lastUsed })
    if (this.usages.size > this.most) for (const [oldest] of this.usages) return void this.usages.delete(oldest)
  }

  take(key: string): Usage | undefined {
    const usage = this.usages.get(key)
    this.usages.delete(key)
    return usage
  }
}
