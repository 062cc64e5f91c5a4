/** Adapters in the pool: brought in when a sequence needs them, kept while one uses them, put out when idle and blocks are short. */
import type { AdapterImage } from '../../adapters-store/types.ts'
import type { NativeEngine } from '../../native/types.ts'
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
  /** By digest: an adapter's content is its identity. Insertion order is order of last use. */
  private readonly residents = new Map<string, Resident>()
  private readonly freeIndices: number[] = []
  private nextIndex = 0
  private generation = 0
  loads = 0
  evictions = 0
  /** Blocks of all residents, and of those that nobody uses. */
  blocks = 0
  idleBlocks = 0
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

  /** Brings the image in without a reference. False when the pool has no room for it. */
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
      throw error
    }
    this.residents.set(image.digest, resident)
    this.blocks += blocks.length
    this.idleBlocks += blocks.length
    this.loads++
    return true
  }

  /** Whether it is resident and a step with it would wait for nothing. */
  ready(digest: string): boolean {
    const resident = this.residents.get(digest)
    if (!resident) return false
    if (!resident.arrived && this.native.adapterReady(resident.index)) {
      resident.arrived = true
      this.change().came.push({ name: resident.image.name, digest, blocks: resident.blocks.length })
    }
    return resident.arrived
  }

  acquire(digest: string, now: number): void {
    const resident = this.residents.get(digest) as Resident
    if (resident.references++ === 0) this.idleBlocks -= resident.blocks.length
    this.touch(digest, resident, now)
  }

  release(digest: string, now: number): void {
    const resident = this.residents.get(digest) as Resident
    if (--resident.references === 0) this.idleBlocks += resident.blocks.length
    this.touch(digest, resident, now)
  }

  /** The idle adapter that was used longest ago. */
  oldestIdle(): Resident | undefined {
    for (const resident of this.residents.values()) if (resident.references === 0) return resident
    return undefined
  }

  /** Puts an idle adapter out; its blocks are free, also when its bytes are still on their way: the addon orders what comes into them behind those. */
  evict(resident: Resident): void {
    if (resident.references !== 0) throw new Error(`adapter ${resident.image.name} is put out while in use`)
    this.native.dropAdapter(resident.index)
    this.freeIndices.push(resident.index)
    for (const block of resident.blocks) this.pool.release(block)
    this.residents.delete(resident.image.digest)
    this.blocks -= resident.blocks.length
    this.idleBlocks -= resident.blocks.length
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

  private touch(digest: string, resident: Resident, now: number): void {
    resident.lastUsed = now
    this.residents.delete(digest)
    this.residents.set(digest, resident)
  }
}
