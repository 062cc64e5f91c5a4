/** Adapters in the pool: brought in when a sequence needs them, kept while one uses them, put out when idle and blocks are short. */
import type { AdapterImage } from '../../adapters-store/types.ts'
import type { NativeEngine } from '../../native/types.ts'
import { EngineError } from '../errors.ts'
import type { ResidentChanges } from '../types.ts'
import { ADAPTER, type BlockPool, type Evict } from './blocks.ts'

const NO_CHANGES: ResidentChanges = { came: [], went: [] }

/** What residency needs of the addon. */
export type AdapterTable = Pick<NativeEngine, 'putAdapter' | 'adapterReady' | 'dropAdapter'>

export interface Resident {
  image: AdapterImage
  /** Place in the native adapter table. */
  index: number
  /** Rises with every residency of this process; a batch names it, and the addon checks it where rows are read. */
  generation: number
  digest64: bigint
  blocks: number[]
  /** Its bytes are known to have arrived. */
  arrived: boolean
  /** Sequences that use it now. */
  references: number
  lastUsed: number
}

export class AdapterResidency {
  /** By digest: an adapter's content is its identity. */
  private readonly residents = new Map<string, Resident>()
  /** Those that no sequence uses, in order of last use. */
  private readonly idle = new Map<string, Resident>()
  /** Blocks of the idle, counted as they change: a pool of 5,000 adapters is asked for this at every allocation. */
  idleBlocks = 0
  private readonly freeIndices: number[] = []
  private nextIndex = 0
  private generation = 0
  loads = 0
  evictions = 0
  /** Blocks of all residents. */
  blocks = 0
  private changes: ResidentChanges = NO_CHANGES
  private readonly native: AdapterTable
  private readonly pool: BlockPool

  constructor(native: AdapterTable, pool: BlockPool) {
    this.native = native
    this.pool = pool
  }

  get(digest: string): Resident | undefined {
    return this.residents.get(digest)
  }

  get count(): number {
    return this.residents.size
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

  /** Brings the image in without a reference. False when the pool has no room for it. Throws an EngineError, and keeps nothing, when the addon refuses it. */
  load(image: AdapterImage, now: number, evict: Evict): boolean {
    if (this.residents.has(image.digest)) return true
    const blocks = this.pool.allocate(image.blocks, ADAPTER, evict)
    if (!blocks) return false
    const index = this.freeIndices.pop() ?? this.nextIndex++
    const resident: Resident = {
      image,
      index,
      generation: ++this.generation,
      digest64: BigInt(`0x${image.digest.slice(0, 16)}`),
      blocks,
      arrived: false,
      references: 0,
      lastUsed: now,
    }
    try {
      this.native.putAdapter({
        index,
        generation: resident.generation,
        digest: resident.digest64,
        image: new Uint8Array(image.image),
        blocks: Int32Array.from(blocks),
        rows: image.rows,
        entries: image.entries,
      })
    } catch (error) {
      this.freeIndices.push(index)
      for (const block of blocks) this.pool.release(block)
      const reason = `adapter ${image.name} could not be brought into the pool: ${(error as Error).message}`
      throw new EngineError('adapter_not_loadable', reason, { cause: error })
    }
    this.residents.set(image.digest, resident)
    this.blocks += blocks.length
    this.rest(resident)
    this.loads++
    return true
  }

  /** Whether it is resident and a step with it would wait for nothing. */
  ready(digest: string): boolean {
    const resident = this.residents.get(digest)
    if (!resident) return false
    if (!resident.arrived && this.native.adapterReady(resident.index)) {
      resident.arrived = true
      this.change().came.push({ digest, blocks: resident.blocks.length })
    }
    return resident.arrived
  }

  acquire(digest: string, now: number): void {
    const resident = this.residents.get(digest) as Resident
    if (resident.references++ === 0) this.rouse(resident)
    resident.lastUsed = now
  }

  release(digest: string, now: number): void {
    const resident = this.residents.get(digest) as Resident
    resident.lastUsed = now
    if (--resident.references === 0) this.rest(resident)
  }

  /** The idle adapter that was used longest ago, of those that are not `kept`. */
  oldestIdle(kept?: ReadonlySet<string>): Resident | undefined {
    for (const [digest, resident] of this.idle) if (!kept?.has(digest)) return resident
    return undefined
  }

  /** Puts an idle adapter out; its blocks are free, also when its bytes are still on their way: the addon orders what comes into them behind those. */
  evict(resident: Resident): void {
    if (resident.references !== 0) throw new Error(`adapter ${resident.image.name} is put out while in use`)
    this.native.dropAdapter(resident.index)
    this.freeIndices.push(resident.index)
    for (const block of resident.blocks) this.pool.release(block)
    this.rouse(resident)
    this.residents.delete(resident.image.digest)
    this.blocks -= resident.blocks.length
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

  private rest(resident: Resident): void {
    this.idle.set(resident.image.digest, resident)
    this.idleBlocks += resident.image.blocks
  }

  private rouse(resident: Resident): void {
    if (this.idle.delete(resident.image.digest)) this.idleBlocks -= resident.image.blocks
  }
}
