/** One sequence under way: its tokens, its blocks, and how far its KV cache reaches. */

import { blockHash, rootHash } from '../pool/prefix-cache.ts'
import type { SequenceRequest, TokenLogprob } from '../types.ts'

export type AdapterKey = string

/** Identity of a set of adapters with their weights; '' is the base. The order of a mix does not change its sum, so it does not change the key. */
export function adapterKeyOf(adapters: SequenceRequest['adapters']): AdapterKey {
  return adapters
    .map((use) => `${use.digest}:${use.weight}`)
    .sort()
    .join(',')
}

export class Sequence {
  readonly request: SequenceRequest
  readonly adapterKey: AdapterKey
  readonly seed: bigint
  /** Prompt, then output. */
  readonly tokens: number[]
  readonly promptLength: number
  /** Tokens whose K and V are in the cache. `tokens.length - computed` remain to be computed; the last of them gives the next token. */
  computed = 0
  blocks: number[] = []
  /** Hashes of the full blocks at the chain's front, as far as they were needed. */
  private readonly hashes: string[] = []
  /** Full blocks that are registered in the prefix cache (or were found there). */
  registered = 0
  /** Others that were admitted before it although they came later. */
  overtaken = 0
  preemptions = 0
  cachedTokens?: number
  scheduledAt?: number
  reportedStart = false
  /** Prompt positions whose logprobs have been computed; survives preemption. */
  promptLogprobs: (TokenLogprob | null)[] | undefined
  aborted = false

  constructor(request: SequenceRequest, seed: bigint) {
    this.request = request
    this.seed = seed
    this.adapterKey = adapterKeyOf(request.adapters)
    this.tokens = [...request.promptIds]
    this.promptLength = request.promptIds.length
    if (request.sampling.promptLogprobs >= 0) this.promptLogprobs = [null]
  }

  get outputLength(): number {
    return this.tokens.length - this.promptLength
  }

  get priority(): number {
    return this.request.priority ?? 0
  }

  /** Hash of full block `i` of the tokens known now. */
  hash(i: number, blockSize: number): string {
    for (let k = this.hashes.length; k <= i; k++) {
      const parent = k ? this.hashes[k - 1] : rootHash(this.adapterKey, this.request.cacheSalt)
      this.hashes.push(blockHash(parent, this.tokens, k * blockSize, (k + 1) * blockSize))
    }
    return this.hashes[i]
  }
}

/** Order of service: priority, then arrival, then id (so that it is total). */
export function comesBefore(a: Sequence, b: Sequence): boolean {
  if (a.priority !== b.priority) return a.priority < b.priority
  return a.request.arrival < b.request.arrival
}
