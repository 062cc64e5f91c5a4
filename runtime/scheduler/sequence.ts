/** One sequence under way: its tokens, its blocks, and how far its KV cache reaches. */

import type { PackedRequest } from '../engine/packed-request.ts'
import { adapterHash, blockHash, rootHash } from '../pool/prefix-cache.ts'
import type { AdapterUse } from '../types.ts'

const useKey = ({ digest, weight, rank }: AdapterUse) => `${digest}:${weight}${rank === undefined ? '' : `:${rank}`}`

/** The adapters of a request in one order, whatever order it named them in: sums of floats depend on their order, and equal mixes must give equal bits. */
export function canonicalUses(adapters: readonly AdapterUse[]): AdapterUse[] {
  return [...adapters].sort((a, b) => (useKey(a) < useKey(b) ? -1 : 1))
}

/**
 * Milliseconds of waiting that one level of priority is worth. A sequence is served in order of its *due time*, arrival + level × LEVEL_MS, so that whoever waits gains on
 * newcomers of every level at the same rate: it is overtaken only by those that come within LEVEL_MS a level after it, never for ever, and places in a list never change.
 */
export const LEVEL_MS = 10_000
/** Priorities beyond ± this many count as this many: nobody is overtaken by who comes more than 2 × MAX_LEVEL × LEVEL_MS (640 s) after it. */
export const MAX_LEVEL = 32

/** Where it stands with the scheduler: in the queue; admitted; ended, but named by a step in flight, until which it keeps what it holds; out of everything. */
export type SequenceState = 'waiting' | 'running' | 'leaving' | 'ended'

/** An adapter's way into the pool: milliseconds since epoch. */
export interface Load {
  readonly loadedFrom: number
  /** Absent: its bytes are not known to have arrived. */
  readonly arrivedAt?: number
}

/** What the addon has found that may come next of a sequence. */
export interface Found {
  count: number
  first: number
}

export class Sequence {
  readonly request: PackedRequest
  /** Its adapters in canonical order, and their identity with weights; '' is the base. */
  readonly uses: readonly AdapterUse[]
  readonly adapterKey: string
  /** The first position at which they act: before it all is the base's. 0 without adapters. */
  readonly adaptersFrom: number
  /** The first position whose K and V are not the base's. */
  private readonly cachedFrom: number
  readonly seed: bigint
  /** Rises with every sequence of the engine: who came first among those of the same millisecond. */
  readonly order: number
  /** Prompt, then output as far as it is known. */
  readonly tokens: number[]
  readonly promptLength: number
  /** Of its priority: lower is better; an integer of at most ± MAX_LEVEL. */
  readonly level: number
  /** Milliseconds since epoch: who is due first is served first (LEVEL_MS). */
  readonly due: number
  state: SequenceState = 'waiting'
  /** Tokens whose K and V are in the cache, or will be once the steps in flight are over. `length - computed` remain; the last of them gives the next token. */
  computed = 0
  /** Steps in flight that name it, and tokens that they will sample. */
  inFlight = 0
  pending = 0
  /** Its slot of the batch, and how many of its blocks the batch knows (runtime/engine/batch.ts). */
  slot: number | undefined
  toldBlocks = 0
  blocks: number[] = []
  /** Hashes of the full blocks at the chain's front, as far as they were needed. */
  private readonly hashes: string[] = []
  /** Full blocks that are registered in the prefix cache (or were found there). */
  registered = 0
  /** Others that were admitted before it although they came later. */
  overtaken = 0
  preemptions = 0
  /** `computed` when it was last admitted. */
  admittedAt = 0
  /** In a slot and constrained: whether it has to wait for its mask (runtime/engine/masks.ts). */
  mask?: { readonly holdsBack: boolean }
  /** Admitted, and held back for so many steps because its adapters' bytes are on their way to the device; undefined otherwise. */
  heldFor: number | undefined
  cachedTokens?: number
  scheduledAt?: number
  /** Its adapters' way into the pool, since its last admission. */
  loads: readonly Load[] = []
  /** Milliseconds of steps, by its tokens' part of those that each step computed. */
  deviceMs = 0
  reportedStart = false
  /** In a slot: what may come behind the last token that has come, by what has stood before (speculation.ts), and how often that is right of late. */
  found: Found | undefined
  foresight: number | undefined
  /** Of a pooled sequence: the sum of the hidden states that have come, of its tokens up to `computed`. Shape: [hidden]. */
  sum: Float64Array | undefined
  /** Where each token's hidden state is wanted: those that have come. Shape: [tokens, hidden]. */
  rows: Float32Array<ArrayBuffer> | undefined
  /** Some hidden state that came is no number. */
  odd = false
  /** Its end has been told. */
  told = false
  /** The first prompt position after those whose logprobs were asked of a step; survives preemption. */
  scoredTo = 0

  constructor(request: PackedRequest, seed: bigint, order: number) {
    this.request = request
    this.seed = seed
    this.order = order
    this.uses = canonicalUses(request.adapters)
    this.adapterKey = this.uses.map(useKey).join(',')
    this.adaptersFrom = request.adaptersFrom ?? 0
    this.cachedFrom = request.cachedFrom ?? this.adaptersFrom
    this.tokens = Array.from(request.promptIds)
    this.promptLength = request.promptIds.length
    this.level = Math.max(-MAX_LEVEL, Math.min(MAX_LEVEL, request.priority ?? 0))
    this.due = request.arrival + this.level * LEVEL_MS
  }

  get outputLength(): number {
    return this.tokens.length - this.promptLength
  }

  /** Tokens known, or being sampled. */
  get length(): number {
    return this.tokens.length + this.pending
  }

  /** Tokens still to be computed. */
  get remaining(): number {
    return this.length - this.computed
  }

  /** Blocks that its first `length` tokens need beyond those it has. */
  blocksFor(length: number, blockSize: number): number {
    return Math.max(0, Math.ceil(length / blockSize) - this.blocks.length)
  }

  /** All but its last token is computed and that one is no prompt's: whoever reads its answer waits for the step. */
  get decodes(): boolean {
    return this.remaining === 1 && this.length > this.promptLength
  }

  /** Its prompt's logprobs are asked for. */
  get scores(): boolean {
    return this.request.sampling.promptLogprobs >= 0
  }

  /** What lies in the cache of its prompt is computed again: every position is scored, or its hidden state is wanted. */
  get readsAll(): boolean {
    const { pooling } = this.request
    return this.scores || (pooling !== undefined && pooling !== 'last')
  }

  /** Hash of full block `i` of the tokens known now. The chain begins as the base's and becomes the adapters' with the first block that holds K and V of theirs. */
  hash(i: number, blockSize: number): string {
    const { adapterKey, cachedFrom, request } = this
    for (let k = this.hashes.length; k <= i; k++) {
      const start = k * blockSize
      const before = k > 0 ? this.hashes[k - 1] : rootHash(cachedFrom > 0 ? '' : adapterKey, request.cacheSalt, request.tenant)
      const begins = cachedFrom > 0 && cachedFrom >= start && cachedFrom < start + blockSize
      this.hashes.push(
        blockHash(begins ? adapterHash(before, adapterKey, cachedFrom) : before, this.tokens, start, start + blockSize),
      )
    }
    return this.hashes[i]
  }

  /** Whose K and V full block `i` holds: the adapters' key, or '' while all of it is as the base would have it. */
  cacheKey(i: number, blockSize: number): string {
    return (i + 1) * blockSize <= this.cachedFrom ? '' : this.adapterKey
  }
}

/** Order of service: due time, then order of submission (so that it is total, never changes, and a preempted sequence gets its old place back). */
export function comesBefore(a: Sequence, b: Sequence): boolean {
  return a.due === b.due ? a.order < b.order : a.due < b.due
}

/** Where `sequence` stands, or would stand, in `list`, which is in order of service. */
export function placeIn(list: readonly Sequence[], sequence: Sequence): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (comesBefore(list[middle], sequence)) low = middle + 1
    else high = middle
  }
  return low
}
