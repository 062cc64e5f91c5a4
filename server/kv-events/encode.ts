/** Batches of events as vLLM writes them from 0.26 on: MessagePack of `[timestamp, events, rank]`, each event a map with its `type`. */
import { encode } from '@msgpack/msgpack'
import type { AdapterUse, CacheEvent } from '../../runtime/index.ts'

type Hash = Uint8Array

/** The events that vLLM's `vllm.distributed.kv_events` defines. Fields that it leaves out where they are null are left out here too. */
export type KvEvent =
  | {
      type: 'BlockStored'
      block_hashes: Hash[]
      /** Null: the blocks begin a prompt. */
      parent_block_hash: Hash | null
      token_ids: number[]
      block_size: number
      /** vLLM's numbers of adapters; there are none here. */
      lora_id: null
      medium: typeof MEDIUM
      lora_name: string | null
      /** For each block what its hash depends on beside tokens (extraKeys). */
      extra_keys: (string[] | null)[]
    }
  | { type: 'BlockRemoved'; block_hashes: Hash[]; medium: typeof MEDIUM }
  | { type: 'AllBlocksCleared' }

/** vLLM's name of the pool that requests are computed in, on a CPU too. */
const MEDIUM = 'GPU'
/** There is one server a process, and no data parallelism in it. */
const RANK = 0

const bytesOf = (hash: string): Hash => Buffer.from(hash, 'base64')

/** Name and digest of each adapter with its weight and rank where they are not the usual, the salt and the tenant; null if there is none of these. */
export function extraKeys(adapters: readonly AdapterUse[], cacheSalt?: string, tenant?: string): string[] | null {
  const keys: string[] = []
  for (const { name, digest, weight, rank } of adapters) {
    keys.push(name, digest)
    if (weight !== 1) keys.push(`weight=${weight}`)
    if (rank !== undefined) keys.push(`rank=${rank}`)
  }
  if (cacheSalt !== undefined) keys.push(`cache_salt=${cacheSalt}`)
  if (tenant !== undefined) keys.push(`tenant=${tenant}`)
  return keys.length > 0 ? keys : null
}

export function kvEvent(event: CacheEvent, blockSize: number): KvEvent {
  const block_hashes = event.hashes.map(bytesOf)
  if (event.type === 'removed') return { type: 'BlockRemoved', block_hashes, medium: MEDIUM }
  const { parent, tokens, adapters, cacheSalt, tenant } = event
  const extra = extraKeys(adapters, cacheSalt, tenant)
  return {
    type: 'BlockStored',
    block_hashes,
    parent_block_hash: parent === undefined ? null : bytesOf(parent),
    token_ids: tokens,
    block_size: blockSize,
    lora_id: null,
    medium: MEDIUM,
    lora_name: adapters.length > 0 ? adapters.map(({ name }) => name).join(',') : null,
    extra_keys: block_hashes.map(() => extra),
  }
}

/** `at`: milliseconds since epoch; on the wire they are seconds, always as a float. */
export function encodeBatch(at: number, events: readonly KvEvent[]): Uint8Array {
  const seconds = at / 1000
  return encode([Number.isInteger(seconds) ? seconds + 1e-6 : seconds, events, RANK])
}

/** A batch's number as it stands in its frame: 64 bits, the highest byte first. */
export function sequenceBytes(sequence: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(sequence))
  return bytes
}
