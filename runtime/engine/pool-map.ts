/** The pool block by block, and the batch and queue by adapter and flow, for somebody who looks: made when asked for, so that it costs nothing while nobody does. */
import { ADAPTER, FRAMED, KV } from '../pool/blocks.ts'
import type { Pool } from '../pool/pool.ts'
import type { Scheduler } from '../scheduler/scheduler.ts'
import type { Sequence } from '../scheduler/sequence.ts'
import type { OwnerGroup, PoolLook } from '../types.ts'

/** What a block can be; a look tells places in this list. Names are added at its end: whoever draws them takes the list as it comes. */
export const BLOCK_STATES = ['free', 'sequence', 'shared', 'prefix', 'adapter', 'idle adapter', 'framed', 'idle framed'] as const
const [FREE, SEQUENCE, SHARED, PREFIX, IN_USE, IDLE, FRAMES, IDLE_FRAMES] = BLOCK_STATES.keys()
/** Bits of a block's value that are its state; the others are its owner. */
export const STATE_BITS = 4
/** Numbers that a look tells of each group. */
export const LOAD_FIELDS = ['id', 'running', 'waiting', 'promptTokensLeft', 'contextTokens', 'blocks'] as const
/** Unchanged blocks that cost no more to tell again than to begin another run. */
const GAP = 2
/** Of those that wait, how many are counted by group. */
const MOST_COUNTED = 4096

/** Sequences of the same adapters and flow. */
interface Group extends OwnerGroup {
  running: number
  waiting: number
  promptTokensLeft: number
  contextTokens: number
  blocks: number
}

export class PoolMap {
  private readonly scheduler: Scheduler
  private readonly pool: Pool
  /** As told last. */
  private told: Uint32Array
  private next: Uint32Array
  /** Digest by place in the adapter table, as told last. */
  private digests: (string | undefined)[] = []
  private groups = new Map<string, Map<string, Group>>()
  private nextGroup = 1

  constructor(scheduler: Scheduler, pool: Pool) {
    this.scheduler = scheduler
    this.pool = pool
    this.told = new Uint32Array(pool.blocks.count)
    this.next = new Uint32Array(pool.blocks.count)
  }

  /** What has changed since the last look; `whole`: all there is. */
  look(whole: boolean): PoolLook {
    if (whole) this.forget()
    const came: OwnerGroup[] = []
    this.next.fill(0)
    this.unclaimed()
    const { adapters, gone } = this.residents()
    const uncounted = this.count(came)
    const blocks = changes(this.told, this.next)
    ;[this.told, this.next] = [this.next, this.told]
    return { whole, blocks, adapters, gone, groups: came, loads: this.loads(), uncounted }
  }

  private forget(): void {
    this.told.fill(0)
    this.digests = []
    this.groups = new Map()
  }

  /** What blocks are by themselves; those who have them are named below. */
  private unclaimed(): void {
    const { owner, references, count } = this.pool.blocks
    const { next } = this
    for (let block = 0; block < count; block++) {
      const kind = owner[block]
      // A KV block may be in the cache alone, or of a sequence that is leaving.
      if (kind === KV) next[block] = references[block] === 0 ? PREFIX : SEQUENCE
      else next[block] = kind === ADAPTER ? IDLE : FREE
    }
    const { frames } = this.pool.adapters
    for (const block of frames.all())
      if (owner[block] === FRAMED)
        next[block] = (frames.busyIn(block) > 0 ? FRAMES : IDLE_FRAMES) | (frames.usedIn(block) << STATE_BITS)
  }

  /** Marks the blocks that residents have whole; tells who came and who went. */
  private residents(): Pick<PoolLook, 'adapters' | 'gone'> {
    const adapters: PoolLook['adapters'] = []
    const before = this.digests
    this.digests = []
    for (const { index, image, blocks, pieces, references } of this.pool.adapters.all()) {
      const value = (references > 0 ? IN_USE : IDLE) | (index << STATE_BITS)
      for (const block of blocks) this.next[block] = value
      this.digests[index] = image.digest
      if (before[index] === image.digest) continue
      const bytes = blocks.length * image.blockBytes + image.frames * image.frameBytes
      const shared = pieces.map(({ block, count }): [number, number] => [block, count])
      adapters.push({ index, name: image.name, digest: image.digest, bytes, blocks: blocks.length, shared })
    }
    const gone: number[] = []
    for (const index of before.keys()) if (before[index] !== undefined && this.digests[index] === undefined) gone.push(index)
    return { adapters, gone }
  }

  /** Counts every sequence for its group and marks its blocks; returns how many that wait were not counted. */
  private count(came: OwnerGroup[]): number {
    for (const flows of this.groups.values())
      for (const group of flows.values())
        group.running = group.waiting = group.promptTokensLeft = group.contextTokens = group.blocks = 0
    const { references } = this.pool.blocks
    for (const sequence of this.scheduler.running) {
      const group = this.groupOf(sequence, came)
      if (sequence.state === 'running' && sequence.heldFor === undefined) group.running++
      else if (sequence.state === 'running') group.waiting++
      group.promptTokensLeft += Math.max(0, sequence.promptLength - sequence.computed)
      group.contextTokens += sequence.computed
      group.blocks += sequence.blocks.length
      const owner = group.id << STATE_BITS
      for (const block of sequence.blocks) this.next[block] = (references[block] > 1 ? SHARED : SEQUENCE) | owner
    }
    let left = MOST_COUNTED
    for (const list of this.scheduler.waiting.lists())
      for (const sequence of list) {
        if (left-- <= 0) break
        const group = this.groupOf(sequence, came)
        group.waiting++
        group.promptTokensLeft += sequence.promptLength
      }
    return Math.max(0, this.scheduler.waiting.length - MOST_COUNTED)
  }

  private groupOf({ adapterKey, uses, request }: Sequence, came: OwnerGroup[]): Group {
    const flow = request.flow ?? request.tenant ?? ''
    const flows = this.groups.get(adapterKey) ?? new Map<string, Group>()
    if (flows.size === 0) this.groups.set(adapterKey, flows)
    const known = flows.get(flow)
    if (known) return known
    const told: OwnerGroup = { id: this.nextGroup++, adapters: uses.map(({ name, weight }) => ({ name, weight })), flow }
    came.push(told)
    const group = { ...told, running: 0, waiting: 0, promptTokensLeft: 0, contextTokens: 0, blocks: 0 }
    flows.set(flow, group)
    return group
  }

  /** Of all groups that have sequences; the others are forgotten. */
  private loads(): Uint32Array<ArrayBuffer> {
    const loads: number[] = []
    for (const [key, flows] of this.groups) {
      for (const [flow, group] of flows) {
        if (group.running + group.waiting + group.blocks === 0) flows.delete(flow)
        else for (const field of LOAD_FIELDS) loads.push(group[field])
      }
      if (flows.size === 0) this.groups.delete(key)
    }
    return Uint32Array.from(loads)
  }
}

/** Runs of blocks that differ: the first one, how many, and their values. */
export function changes(before: Uint32Array, after: Uint32Array): Uint32Array<ArrayBuffer> {
  const runs: number[] = []
  const count = after.length
  for (let at = 0; at < count; at++) {
    if (before[at] === after[at]) continue
    let end = at + 1
    for (let i = end; i < count && i - end <= GAP; i++) if (before[i] !== after[i]) end = i + 1
    runs.push(at, end - at)
    for (let i = at; i < end; i++) runs.push(after[i])
    at = end
  }
  return Uint32Array.from(runs)
}
