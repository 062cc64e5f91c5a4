/** Adapters in the pool: brought in when a sequence needs them, kept while one uses them, put out when idle and blocks are short. */
import type { AdapterImage } from '../../adapters-store/types.ts'
import type { NativeEngine } from '../../native/types.ts'
import { EngineError } from '../errors.ts'
import type { ResidentChanges } from '../types.ts'
import { ADAPTER, type BlockPool } from './blocks.ts'
import { type Usage, used } from './eviction.ts'
import { Frames, type Piece, type Tenant } from './frames.ts'
import { Odds } from './odds.ts'
import { Shelves } from './shelves.ts'
import { Remembered, Turnover } from './turnover.ts'

const NO_CHANGES: ResidentChanges = { came: [], went: [] }

/** What residency needs of the addon. */
export type AdapterTable = Pick<NativeEngine, 'putAdapter' | 'adapterReady' | 'dropAdapter'>

/**
 * Puts something idle out that helps to what is wanted: a whole block; frames, wherever they are; or frames where adapters lie that stay, for which only adapters
 * are put out. False when nothing is left that helps.
 */
export type MakeRoom = (wanted: Wanted) => boolean
export type Wanted = 'block' | 'frames' | 'shared frames'

export interface Resident extends Tenant, Usage {
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
  /** Milliseconds since epoch: they were on their way, and were seen to have arrived. */
  loadedFrom: number
  arrivedAt?: number
  /** Sequences that use it now. */
  references: number
  /** It came for a use that is still to come, and that is counted. */
  awaited: boolean
}

/** Adapters whose uses are remembered when they have left. */
const REMEMBERED = 10_000
/** Blocks of one adapter that are looked at for those who share them. */
const PIECES = 4

export class AdapterResidency {
  /** By digest: an adapter's content is its identity. */
  private readonly residents = new Map<string, Resident>()
  /** Those that no sequence uses. */
  private readonly idle = new Map<string, Resident>()
  /** Of these, the ones with blocks that they have whole, and those with frames. */
  private readonly idleWhole = new Shelves<Resident>()
  private readonly idleFramed = new Shelves<Resident>()
  private readonly remembered = new Remembered(REMEMBERED)
  /** Whole blocks of the idle, counted as they change: a pool of 5,000 adapters is asked for this at every allocation. */
  idleWholeBlocks = 0
  readonly frames: Frames
  private readonly freeIndices: number[] = []
  private nextIndex = 0
  private generation = 0
  loads = 0
  /** Of these, those that came before their sequence was admitted. */
  prefetched = 0
  /** To make room; of these, those that shared blocks and came again more closely. */
  evictions = 0
  repacked = 0
  /** Those whose adapter has gone. */
  removed = 0
  /** Blocks that residents have whole. */
  private wholeBlocks = 0
  private changes: ResidentChanges = NO_CHANGES
  private readonly native: AdapterTable
  readonly odds = new Odds()
  private readonly pool: BlockPool
  private readonly turnover: Turnover

  /** `framesPerBlock`: as the images' layout has it. */
  constructor(native: AdapterTable, pool: BlockPool, framesPerBlock = 1, turnover = new Turnover(pool.count)) {
    this.native = native
    this.pool = pool
    this.turnover = turnover
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
    const before = this.remembered.take(image.digest)
    if (before) this.odds.returned(before)
    const resident: Resident = {
      image,
      index,
      generation: ++this.generation,
      digest64: BigInt(`0x${image.digest.slice(0, 16)}`),
      blocks,
      frames: [],
      pieces: [],
      arrived: false,
      loadedFrom: Date.now(),
      references: 0,
      ...used(before, 1, this.turnover.clock(now)),
      awaited: true,
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
      resident.arrivedAt = Date.now()
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
    if (!resident.awaited) this.odds.returned(resident)
    Object.assign(resident, used(resident, resident.awaited ? 0 : 1, this.turnover.clock(now)))
    resident.awaited = false
  }

  release(digest: string, now: number): void {
    const resident = this.residents.get(digest) as Resident
    Object.assign(resident, used(resident, 0, this.turnover.clock(now)))
    if (--resident.references > 0) return
    this.noteIdle(resident)
    this.frames.rest(resident)
  }

  /** Idle adapters that would leave first, of those that are not `kept`: of those used about as often the one that was used longest ago. */
  *candidates(having: 'blocks' | 'frames', kept?: ReadonlySet<string>): Generator<Resident> {
    const shelves = having === 'blocks' ? this.idleWhole : this.idleFramed
    yield* shelves.fronts(({ image }) => kept?.has(image.digest) ?? false)
  }

  /** Those that share an idle block, for some blocks that would leave first: of `candidates`, and the one used longest ago. None holds anybody `kept`. */
  *sharing(kept?: ReadonlySet<string>): Generator<Resident[]> {
    const stays = (tenant: Tenant) => kept?.has((tenant as Resident).image.digest) ?? false
    const oldest = this.frames.oldestIdle(stays)
    if (oldest === undefined) return
    const blocks = new Set([oldest])
    for (const { pieces } of this.candidates('frames', kept))
      for (const { block } of pieces.slice(0, PIECES)) if (this.frames.isIdle(block)) blocks.add(block)
    for (const block of blocks) {
      const residents = [...this.frames.tenants(block)] as Resident[]
      if (!residents.some(stays)) yield residents
    }
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
    this.repacked += shared.length
    return shared.length > 0
  }

  /** Puts an idle adapter out; its blocks are free, also when its bytes are still on their way: the addon orders what comes into them behind those. */
  evict(resident: Resident): void {
    if (resident.references !== 0) throw new Error(`adapter ${resident.image.name} is put out while in use`)
    this.native.dropAdapter(resident.index)
    this.freeIndices.push(resident.index)
    this.giveBack(resident)
    this.noteGone(resident)
    this.remembered.note(resident.image.digest, resident)
    this.odds.leaves(resident)
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
    this.idle.set(resident.image.digest, resident)
    this.idleWholeBlocks += resident.blocks.length
    if (resident.blocks.length > 0) this.idleWhole.put(resident, resident)
    if (resident.frames.length > 0) this.idleFramed.put(resident, resident)
  }

  /** It is no longer idle. */
  private noteGone(resident: Resident): void {
    if (!this.idle.delete(resident.image.digest)) return
    this.idleWholeBlocks -= resident.blocks.length
    this.idleWhole.remove(resident)
    this.idleFramed.remove(resident)
  }
}

/** Of the pool, that an image takes. */
function bytesOf({ blocks, blockBytes, frames, frameBytes }: AdapterImage): number {
  return blocks * blockBytes + frames * frameBytes
}
