/**
 * Blocks cut into frames, so that several small adapters share one: which frames are taken, who lies where, and which blocks could be had back. A framed block holds
 * at least one taken frame; with its last one it is a free block again. It is idle while no sequence uses anything in it.
 */
import { type BlockPool, FRAMED } from './blocks.ts'

/** So many frames of one block; block -1: of a free one that is still to be taken. */
export interface Piece {
  block: number
  count: number
}

/** What lies in frames. */
export interface Tenant {
  /** block · perBlock + place in it, in the image's order. */
  frames: number[]
  /** The same by block, each once. */
  pieces: Piece[]
}

interface Framed {
  used: number
  /** Of these, frames of tenants in use. */
  busy: number
  tenants: Set<Tenant>
}

/** Blocks with frames to give, by how many: finding one costs the number of frames in a block at most, however large the pool. */
class Open {
  free = 0
  private readonly byFree: Set<number>[]

  constructor(perBlock: number) {
    this.byFree = Array.from({ length: perBlock }, () => new Set())
  }

  add(block: number, free: number): void {
    if (free > 0) this.byFree[free].add(block)
    this.free += free
  }

  remove(block: number, free: number): void {
    this.byFree[free].delete(block)
    this.free -= free
  }

  /** Pieces of `n` frames, or of all there are: of the fullest block that can give what is wanted, else of the emptiest first, so that they are few. */
  plan(n: number): Piece[] {
    const pieces: Piece[] = []
    const planned = new Set<number>()
    for (let left = n; left > 0; ) {
      const found =
        this.find(left, this.byFree.length, 1, planned) ?? this.find(Math.min(left, this.byFree.length) - 1, 0, -1, planned)
      if (!found) break
      planned.add(found.block)
      pieces.push({ block: found.block, count: Math.min(left, found.free) })
      left -= found.free
    }
    return pieces
  }

  /** A block with `from` free frames, or from there on towards `to`. */
  private find(from: number, to: number, step: 1 | -1, but: ReadonlySet<number>): { block: number; free: number } | undefined {
    for (let free = from; step > 0 ? free < to : free > to; free += step)
      for (const block of this.byFree[free]) if (!but.has(block)) return { block, free }
    return undefined
  }
}

export class Frames {
  /** Frames in a block. */
  readonly perBlock: number
  /** Taken, of all framed blocks. */
  used = 0
  /** Frames that are free, or could be, in blocks that stay framed for those in use. */
  spare = 0
  private readonly pool: BlockPool
  private readonly taken: Uint8Array
  private readonly framed = new Map<number, Framed>()
  /** Idle blocks, the one first that was used longest ago, in any of its tenants. */
  private readonly idle = new Set<number>()
  private readonly openIdle: Open
  private readonly openBusy: Open

  constructor(pool: BlockPool, perBlock: number) {
    this.pool = pool
    this.perBlock = perBlock
    this.taken = new Uint8Array(pool.count * perBlock)
    this.openIdle = new Open(perBlock)
    this.openBusy = new Open(perBlock)
  }

  /** Framed blocks. */
  get blocks(): number {
    return this.framed.size
  }

  /** Framed blocks that are free once what is idle in them is put out. */
  get idleBlocks(): number {
    return this.idle.size
  }

  /** Free frames of framed blocks. */
  get free(): number {
    return this.openIdle.free + this.openBusy.free
  }

  /**
   * Where `n` frames would lie: in blocks that stay framed in any case, then in idle ones, then in `freeBlocks` free ones. undefined: there is no room.
   * Nothing has changed yet.
   */
  plan(n: number, freeBlocks: number): Piece[] | undefined {
    if (n > this.free + freeBlocks * this.perBlock) return undefined
    const pieces = this.openBusy.plan(n)
    const count = () => pieces.reduce((sum, piece) => sum + piece.count, 0)
    pieces.push(...this.openIdle.plan(n - count()))
    for (let left = n - count(); left > 0; left -= this.perBlock) pieces.push({ block: -1, count: Math.min(left, this.perBlock) })
    return pieces
  }

  /** Blocks that would no longer be free or idle if what is planned were in use. */
  cost(pieces: readonly Piece[]): number {
    return pieces.reduce((sum, { block }) => sum + (block < 0 || this.idle.has(block) ? 1 : 0), 0)
  }

  /** Takes what was planned, for one who is not in use. The pool's free blocks suffice. */
  enter(tenant: Tenant, plan: readonly Piece[]): void {
    const never = () => false
    for (const { block: planned, count } of plan) {
      const block = planned < 0 ? (this.pool.allocate(1, FRAMED, never) as number[])[0] : planned
      const first = block * this.perBlock
      for (let frame = first, left = count; left > 0; frame++)
        if (!this.taken[frame]) {
          this.taken[frame] = 1
          tenant.frames.push(frame)
          left--
        }
      this.change(block, count, 0, tenant)
      tenant.pieces.push({ block, count })
    }
    this.used += tenant.frames.length
  }

  /** Gives back what one who is not in use has. */
  leave(tenant: Tenant): void {
    for (const frame of tenant.frames) this.taken[frame] = 0
    this.used -= tenant.frames.length
    for (const { block, count } of tenant.pieces) {
      this.framed.get(block)?.tenants.delete(tenant)
      this.change(block, -count, 0)
    }
  }

  /** It is in use from now on. */
  rouse(tenant: Tenant): void {
    for (const { block, count } of tenant.pieces) this.change(block, 0, count)
  }

  /** It is no longer in use. */
  rest(tenant: Tenant): void {
    for (const { block, count } of tenant.pieces) this.change(block, 0, -count, tenant)
  }

  /** Frames of those in use. */
  busyIn(block: number): number {
    return this.framed.get(block)?.busy ?? 0
  }

  usedIn(block: number): number {
    return this.framed.get(block)?.used ?? 0
  }

  isTaken(frame: number): boolean {
    return this.taken[frame] === 1
  }

  isIdle(block: number): boolean {
    return this.idle.has(block)
  }

  /** All framed blocks. */
  all(): IterableIterator<number> {
    return this.framed.keys()
  }

  tenants(block: number): ReadonlySet<Tenant> {
    return this.framed.get(block)?.tenants ?? NOBODY
  }

  /** The idle block that was used longest ago, of those without any tenant that is `kept`. */
  oldestIdle(kept: (tenant: Tenant) => boolean): number | undefined {
    for (const block of this.idle) {
      let stays = false
      for (const tenant of this.tenants(block)) stays ||= kept(tenant)
      if (!stays) return block
    }
    return undefined
  }

  /** Blocks that are free once all of these have left. */
  freedBy(tenants: Iterable<Tenant>): number {
    const leaving = new Map<number, number>()
    for (const { pieces } of tenants) for (const { block, count } of pieces) leaving.set(block, (leaving.get(block) ?? 0) + count)
    let freed = 0
    for (const [block, count] of leaving) if (count === this.usedIn(block)) freed++
    return freed
  }

  /** All that is counted of a block, with so many more frames used and busy. `newest`: one that was used in it just now, or came. */
  private change(block: number, used: number, busy: number, newest?: Tenant): void {
    const framed = this.framed.get(block) ?? { used: 0, busy: 0, tenants: new Set() }
    if (framed.used > 0) this.uncount(block, framed)
    framed.used += used
    framed.busy += busy
    if (newest) framed.tenants.add(newest)
    if (framed.used === 0) {
      this.framed.delete(block)
      this.idle.delete(block)
      this.pool.release(block)
      return
    }
    this.framed.set(block, framed)
    this.count(block, framed)
    if (framed.busy > 0) this.idle.delete(block)
    else if (newest) {
      this.idle.delete(block)
      this.idle.add(block)
    }
  }

  private count(block: number, { used, busy }: Framed): void {
    if (busy > 0) this.spare += this.perBlock - busy
    const open = busy > 0 ? this.openBusy : this.openIdle
    open.add(block, this.perBlock - used)
  }

  private uncount(block: number, { used, busy }: Framed): void {
    if (busy > 0) this.spare -= this.perBlock - busy
    const open = busy > 0 ? this.openBusy : this.openIdle
    open.remove(block, this.perBlock - used)
  }
}

const NOBODY: ReadonlySet<Tenant> = new Set()
