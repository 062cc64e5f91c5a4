/** What S-LoRA's unified pool is measured against: a part for adapters and a part for KV, and runs of memory without gaps. */
import type { AdapterImage } from '../../adapters-store/types.ts'
import { Pool } from '../../runtime/pool/pool.ts'
import { fits, Room } from '../../runtime/scheduler/need.ts'
import type { Sequence } from '../../runtime/scheduler/sequence.ts'
import type { Gate } from './gate.ts'

interface Pages {
  blockBytes: number
  frameBytes: number
  blockSize: number
}

/** Told of the MB that are copied. */
type Copied = (mb: number) => void
type ImageOf = (digest: string) => AdapterImage

/** Adapters in a part of their own, with the product's own residency and eviction over it. */
export class SplitMemory implements Gate {
  private readonly part: Pool
  private readonly imageOf: ImageOf

  constructor(blocks: number, { blockBytes, frameBytes, blockSize }: Pages, imageOf: ImageOf, copied: Copied) {
    const table = {
      putAdapter: (adapter: { blocks: Int32Array; frames: Int32Array }) =>
        copied((adapter.blocks.length * blockBytes + adapter.frames.length * frameBytes) / 1e6),
      adapterReady: () => true,
      dropAdapter() {},
    }
    this.part = new Pool(table, blocks, blockSize, blockBytes, undefined, frameBytes)
    this.imageOf = imageOf
  }

  get adapters(): number {
    return this.part.adapters.count
  }

  fits({ uses }: Sequence): boolean {
    const { part } = this
    const missing = uses.filter(({ digest }) => !part.adapters.get(digest)).map(({ digest }) => this.imageOf(digest))
    const idle = uses.flatMap(({ digest }) => part.adapters.get(digest) ?? []).filter(({ references }) => references === 0)
    return fits({ missing, idle, prefix: [], tokenBlocks: 0, idlePrefix: 0 }, new Room(part, 0))
  }

  costly({ uses }: Sequence): boolean {
    const { adapters } = this.part
    return uses.some(({ digest }) => !adapters.get(digest) && !adapters.hasRoom(this.imageOf(digest)))
  }

  enter({ uses }: Sequence): void {
    const { part } = this
    part.now++
    for (const { digest } of uses) {
      if (!part.adapters.load(this.imageOf(digest), part.now, part.evict)) throw new Error('the split has less room than it said')
      part.adapters.acquire(digest, part.now)
    }
  }

  leave({ uses }: Sequence): void {
    for (const { digest } of uses) this.part.adapters.release(digest, this.part.now)
  }
}

interface Run {
  start: number
  size: number
}

/** First fit, in units. */
class Arena {
  readonly runs: Run[]
  private readonly size: number

  constructor(size: number, runs: readonly Run[] = []) {
    this.size = size
    this.runs = [...runs]
  }

  /** undefined: there is no gap so long. */
  take(size: number): Run | undefined {
    let start = 0
    let at = 0
    for (; at < this.runs.length && this.runs[at].start - start < size; at++) start = this.runs[at].start + this.runs[at].size
    if (start + size > this.size) return undefined
    const run = { start, size }
    this.runs.splice(at, 0, run)
    return run
  }

  give(run: Run): void {
    this.runs.splice(this.runs.indexOf(run), 1)
  }

  without(idle: ReadonlySet<Run>): Arena {
    return new Arena(
      this.size,
      this.runs.filter((run) => !idle.has(run)),
    )
  }
}

interface Lying {
  run: Run
  users: number
}

/** Every adapter, and every sequence's whole KV to come, in one run each. Idle adapters stay as long as nobody wants their place; the one used longest ago goes first. */
export class ContiguousMemory implements Gate {
  private readonly arena: Arena
  private readonly imageOf: ImageOf
  private readonly copied: Copied
  private readonly pages: Pages
  /** Tokens that a sequence has room reserved for. */
  private readonly reserved: (sequence: Sequence) => number
  /** By digest, in order of last use. */
  private readonly lying = new Map<string, Lying>()
  private readonly sequences = new Map<Sequence, Run>()

  constructor(blocks: number, pages: Pages, imageOf: ImageOf, copied: Copied, reserved: (sequence: Sequence) => number) {
    this.pages = pages
    this.arena = new Arena(blocks * (pages.blockBytes / pages.frameBytes))
    this.imageOf = imageOf
    this.copied = copied
    this.reserved = reserved
  }

  get adapters(): number {
    return this.lying.size
  }

  fits(sequence: Sequence): boolean {
    return this.place(this.arena.without(this.idleBut(sequence)), sequence) !== undefined
  }

  costly(sequence: Sequence): boolean {
    return this.place(this.arena.without(new Set()), sequence) === undefined
  }

  enter(sequence: Sequence): void {
    for (const { digest } of sequence.uses) this.touch(digest)
    for (;;) {
      const placed = this.place(this.arena, sequence)
      if (placed) {
        this.sequences.set(sequence, placed.kv)
        for (const [digest, run] of placed.adapters) {
          this.lying.set(digest, { run, users: 0 })
          this.copied(this.unitsOf(digest) * (this.pages.frameBytes / 1e6))
        }
        for (const { digest } of sequence.uses) (this.lying.get(digest) as Lying).users++
        return
      }
      this.evict(sequence)
    }
  }

  leave(sequence: Sequence): void {
    this.arena.give(this.sequences.get(sequence) as Run)
    this.sequences.delete(sequence)
    for (const { digest } of sequence.uses) {
      ;(this.lying.get(digest) as Lying).users--
      this.touch(digest)
    }
  }

  /** Takes runs for its KV and for those of its adapters that do not lie there; all or nothing. */
  private place(arena: Arena, sequence: Sequence): { kv: Run; adapters: [string, Run][] } | undefined {
    const { blockSize, blockBytes, frameBytes } = this.pages
    const kv = arena.take(Math.ceil(this.reserved(sequence) / blockSize) * (blockBytes / frameBytes))
    if (!kv) return undefined
    const adapters: [string, Run][] = []
    for (const { digest } of sequence.uses) {
      if (this.lying.has(digest)) continue
      const run = arena.take(this.unitsOf(digest))
      if (!run) {
        for (const taken of [kv, ...adapters.map(([, taken]) => taken)]) arena.give(taken)
        return undefined
      }
      adapters.push([digest, run])
    }
    return { kv, adapters }
  }

  private unitsOf(digest: string): number {
    const { blocks, frames } = this.imageOf(digest)
    return blocks * (this.pages.blockBytes / this.pages.frameBytes) + frames
  }

  private touch(digest: string): void {
    const lying = this.lying.get(digest)
    if (!lying) return
    this.lying.delete(digest)
    this.lying.set(digest, lying)
  }

  private idleBut({ uses }: Sequence): Set<Run> {
    const own = new Set(uses.map(({ digest }) => digest))
    return new Set([...this.lying].filter(([digest, { users }]) => users === 0 && !own.has(digest)).map(([, { run }]) => run))
  }

  private evict({ uses }: Sequence): void {
    for (const [digest, { run, users }] of this.lying) {
      if (users > 0 || uses.some((use) => use.digest === digest)) continue
      this.arena.give(run)
      this.lying.delete(digest)
      return
    }
    throw new Error('contiguous memory has less room than it said')
  }
}
