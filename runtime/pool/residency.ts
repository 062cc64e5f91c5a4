/** Adapters in the pool: brought in when a sequence needs them, kept while one uses them, put out when idle and blocks are short. */
import type { AdapterImage } from '../../adapters-store/types.ts'
import type { NativeEngine } from '../../native/types.ts'
import { EngineError } from '../errors.ts'
import type { ResidentChanges } from '../types.ts'
import { ADAPTER, type BlockPool } from './blocks.ts'
import { Frames, type Piece, type Tenant } from './frames.ts'

const NO_CHANGES: ResidentChanges = { came: [], went: [] }

/** What residency needs of the addon. */
export type AdapterTable = Pick<NativeEngine, 'putAdapter' | 'adapterReady' | 'dropAdapter'>

/**
 * Puts something idle out that helps to what is wanted: a whole block; frames, wherever they are; or frames where adapters lie that stay, for which only adapters
 * are put out. False when nothing is left that helps.
 */
export type MakeRoom = (wanted: Wanted) => boolean
export type Wanted = 'block' | 'frames' | 'shared frames'

export interface Resident extends Tenant {
  image: AdapterImage
  /** Place in the native adapter table. */
  index: number
  /** Rises with every residency of this process; a batch names it, and the addon checks it where rows are read. */
  generation: number
  digest64: bigint
  /** Those that it has whole. */
  blocks: number[]
  /** Its bytes are known to have arrived. */
  arrived: boolean
  /** Sequences that use it now. */
  references: number
}

export class AdapterResidency {
  /** By digest: an adapter's content is its identity. */
  private readonly residents = new Map<string, Resident>()
  /** Those that no sequence uses, in order of last use. */
  private readonly idle = new Map<string, Resident>()
  /** Of these, the ones with blocks that they have whole. */
  private readonly idleWhole = new Map<string, Resident>()
  /** Whole blocks of the idle, counted as they change: a pool of 5,000 adapters is asked for this at every allocation. */
  idleWholeBlocks = 0
  readonly frames: Frames
  private readonly freeIndices: number[] = []
  private nextIndex = 0
  private generation = 0
  loads = 0
  evictions = 0
  /** Blocks that residents have whole. */
  private wholeBlocks = 0
  private changes: ResidentChanges = NO_CHANGES
  private readonly native: AdapterTable
  private readonly pool: BlockPool

  /** `framesPerBlock`: as the images' layout has it. */
  constructor(native: AdapterTable, pool: BlockPool, framesPerBlock = 1) {
    this.native = native
    this.pool = pool
    this.frames = new Frames(pool, framesPerBlock)
  }

  get(digest: string): Resident | undefined {
    return this.residents.get(digest)
  }

  get count(): number {
    return this.residents.size
  }

  /** Blocks that hold residents. */
  get blocks(): number {
    return this.wholeBlocks + this.frames.blocks
  }

  /** Blocks that are free once all that is idle is put out. */
  get idleBlocks(): number {
    return this.idleWholeBlocks + this.frames.idleBlocks
  }

  /** Who has arrived and who has gone since the last call; undefined: nobody. */
  takeChanges(): ResidentChanges | undefined {
    const taken = this.changes
    this.changes = NO_CHANGES
    return taken === NO_CHANGES ? undefined : taken
  }

  all(): IterableIterator<Resident> {
    return this.residents.values()
  }

  isIdle(digest: string): boolean {
    return this.idle.has(digest)
  }

  /** Whether it could be brought in without anything's being put out. */
  hasRoom({ blocks, frames }: { blocks: number; frames: number }): boolean {
    const left = this.pool.free - blocks
    return left >= 0 && frames <= this.frames.free + left * this.frames.perBlock
  }

  /**
   * Brings the image in without a reference. False when the pool has no room for it. Throws an EngineError, and keeps nothing, when the addon refuses it.
   * `lendable`: how many of the blocks that are free or idle it may take away from the others when it is used, where it can choose.
   */
  load(image: AdapterImage, now: number, makeRoom: MakeRoom, lendable: () => number = () => Number.POSITIVE_INFINITY): boolean {
    if (this.residents.has(image.digest)) return true
    const blocks = this.pool.allocate(image.blocks, ADAPTER, () => makeRoom('block'))
    if (!blocks) return false
    const pieces = this.place(image.frames, makeRoom, lendable)
    if (!pieces) {
      for (const block of blocks) this.pool.release(block)
      return false
    }
    const index = this.freeIndices.pop() ?? this.nextIndex++
    const resident: Resident = {
      image,
      index,
      generation: ++this.generation,
      digest64: BigInt(`0x${image.digest.slice(0, 16)}`),
      blocks,
      frames: [],
      pieces: [],
      arrived: false,
      references: 0,
      lastUsed: now,
    }
    this.frames.enter(resident, pieces)
    try {
      this.native.putAdapter({
        index,
        generation: resident.generation,
        digest: resident.digest64,
        image: new Uint8Array(image.image),
        blocks: Int32Array.from(blocks),
        frames: Int32Array.from(resident.frames),
        rows: image.rows,
        entries: image.entries,
      })
    } catch (error) {
      this.freeIndices.push(index)
      this.giveBack(resident)
      const reason = `adapter ${image.name} could not be brought into the pool: ${(error as Error).message}`
      throw new EngineError('adapter_not_loadable', reason, { cause: error })
    }
    this.residents.set(image.digest, resident)
    this.wholeBlocks += blocks.length
    this.noteIdle(resident)
    this.loads++
    return true
  }

  /** Where so many frames will lie, once there is room for them. */
  private place(count: number, makeRoom: MakeRoom, lendable: () => number): Piece[] | undefined {
    for (;;) {
      const pieces = this.frames.plan(count, this.pool.free)
      if (pieces && this.frames.cost(pieces) <= lendable()) return pieces
      // Without anything idle the plan takes no more than it must.
      if (!makeRoom(pieces ? 'shared frames' : 'frames')) return pieces
    }
  }

  /** Whether it is resident and a step with it would wait for nothing. */
  ready(digest: string): boolean {
    const resident = this.residents.get(digest)
    if (!resident) return false
    if (!resident.arrived && this.native.adapterReady(resident.index)) {
      resident.arrived = true
      this.change().came.push({ digest, bytes: bytesOf(resident.image) })
    }
    return resident.arrived
  }

  acquire(digest: string, now: number): void {
    const resident = this.residents.get(digest) as Resident
    if (resident.references++ === 0) {
      this.noteGone(resident)
      this.frames.rouse(resident)
    }
    resident.lastUsed = now
  }

  release(digest: string, now: number): void {
    const resident = this.residents.get(digest) as Resident
    resident.lastUsed = now
    if (--resident.references > 0) return
    this.noteIdle(resident)
    this.frames.rest(resident)
  }

  /** The idle adapter that was used longest ago, of those that are not `kept`. */
  oldestIdle(kept?: ReadonlySet<string>): Resident | undefined {
    for (const [digest, resident] of this.idle) if (!kept?.has(digest)) return resident
    return undefined
  }

  /** Of the idle that are not `kept`, the one that was used longest ago and has blocks whole. */
  oldestWhole(kept?: ReadonlySet<string>): Resident | undefined {
    for (const [digest, resident] of this.idleWhole) if (!kept?.has(digest)) return resident
    return undefined
  }

  /** Of the idle that are not `kept`, the one that was used longest ago and has frames. */
  oldestFramed(kept?: ReadonlySet<string>): Resident | undefined {
    for (const [digest, resident] of this.idle) if (resident.frames.length > 0 && !kept?.has(digest)) return resident
    return undefined
  }

  /** Those that share the idle block that was used longest ago, of the blocks that hold nobody `kept`, and when that was. */
  oldestShared(kept?: ReadonlySet<string>): { residents: Resident[]; lastUsed: number } | undefined {
    const found = this.frames.oldestIdle((tenant) => kept?.has((tenant as Resident).image.digest) ?? false)
    return found && { residents: [...this.frames.tenants(found.block)] as Resident[], lastUsed: found.lastUsed }
  }

  /** Blocks that are free once all of these, which are idle, are put out. */
  freedBy(residents: readonly Resident[]): number {
    return residents.reduce((sum, { blocks }) => sum + blocks.length, this.frames.freedBy(residents))
  }

  /** Puts out every idle adapter that shares blocks, so that what comes lies as closely as it can. False when there was none. */
  evictShared(): boolean {
    const shared = [...this.idle.values()].filter(({ frames }) => frames.length > 0)
    for (const resident of shared) this.evict(resident)
    this.evictions += shared.length
    return shared.length > 0
  }

  /** Puts an idle adapter out; its blocks are free, also when its bytes are still on their way: the addon orders what comes into them behind those. */
  evict(resident: Resident): void {
    if (resident.references !== 0) throw new Error(`adapter ${resident.image.name} is put out while in use`)
    this.native.dropAdapter(resident.index)
    this.freeIndices.push(resident.index)
    this.giveBack(resident)
    this.noteGone(resident)
    this.residents.delete(resident.image.digest)
    this.wholeBlocks -= resident.blocks.length
    if (!resident.arrived) return
    const { came, went } = this.change()
    const at = came.findIndex(({ digest }) => digest === resident.image.digest)
    if (at >= 0) came.splice(at, 1)
    went.push(resident.image.digest)
  }

  private change(): ResidentChanges {
    if (this.changes === NO_CHANGES) this.changes = { came: [], went: [] }
    return this.changes
  }

  private giveBack(resident: Resident): void {
    for (const block of resident.blocks) this.pool.release(block)
    this.frames.leave(resident)
  }

  private noteIdle(resident: Resident): void {
    const { digest, blocks } = resident.image
    this.idle.set(digest, resident)
    this.idleWholeBlocks += blocks
    if (blocks > 0) this.idleWhole.set(digest, resident)
  }

  /** It is no longer idle. */
  private noteGone(resident: Resident): void {
    const { digest, blocks } = resident.image
    if (!this.idle.delete(digest)) return
    this.idleWholeBlocks -= blocks
    this.idleWhole.delete(digest)
  }
}

/** Of the pool, that an image takes. */
function bytesOf({ blocks, blockBytes, frames, frameBytes }: AdapterImage): number {
  return blocks * blockBytes + frames * frameBytes
}
