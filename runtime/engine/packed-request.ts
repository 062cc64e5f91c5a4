/**
 * A request as it crosses to the engine's thread: its lists as typed arrays, long ones over shared memory, made once however many sequences bring the same list (the choices
 * of one request, the prompts of one body).
 */
import type { ScalarSampling, SequenceRequest } from '../types.ts'
import type { Reach } from './reach.ts'

/** What of the sampling parameters is a list. */
export interface PackedLists {
  /** A bit per token id, the lowest first; empty: all tokens may be sampled. */
  allowed: Uint32Array
  biasTokens: Int32Array
  biasValues: Float32Array
  badWords: Int32Array
  stopTokens: Int32Array
  endTokens: Int32Array
}

export type PackedRequest = Omit<SequenceRequest, 'promptIds' | 'sampling'> & {
  promptIds: Int32Array
  sampling: ScalarSampling
  lists: PackedLists
  /** Token ids that exist for it (EngineClient); absent: the base's. */
  vocabSize?: number
} & Pick<Reach, 'adaptersFrom' | 'cachedFrom'>

/** From so many bytes on an array lies in shared memory; smaller ones are copied sooner than a buffer for them is made. */
const SHARED_FROM = 1024

interface ArrayType<T> {
  new (buffer: ArrayBufferLike): T
  BYTES_PER_ELEMENT: number
}

const NO_IDS = new Int32Array(0)
const NO_VALUES = new Float32Array(0)

function packedArray<T>(length: number, of: ArrayType<T>): T {
  const bytes = length * of.BYTES_PER_ELEMENT
  return new of(bytes < SHARED_FROM ? new ArrayBuffer(bytes) : new SharedArrayBuffer(bytes))
}

function packedIds(ids: readonly number[] | Int32Array): Int32Array {
  if (ids.length === 0) return NO_IDS
  if (ids instanceof Int32Array && ids.buffer instanceof SharedArrayBuffer) return ids
  const packed = packedArray(ids.length, Int32Array)
  packed.set(ids)
  return packed
}

function bitmask(ids: readonly number[], vocabSize: number): Uint32Array {
  const mask = packedArray(Math.ceil(vocabSize / 32), Uint32Array)
  for (const id of ids) mask[id >>> 5] |= 1 << (id & 31)
  return mask
}

function packedValues(bias: readonly [number, number][]): Float32Array {
  if (bias.length === 0) return NO_VALUES
  const packed = packedArray(bias.length, Float32Array)
  for (let i = 0; i < bias.length; i++) packed[i] = bias[i][1]
  return packed
}

/** `pack`, done once for each list object. */
function once<From extends object, To>(pack: (from: From) => To): (from: From) => To {
  const made = new WeakMap<From, To>()
  return (from) => {
    const known = made.get(from)
    if (known !== undefined) return known
    const packed = pack(from)
    made.set(from, packed)
    return packed
  }
}

/** A packer for one vocabulary, the tokens included that adapters may add: a list is packed once, whosever request it is in. Lists must not be changed once they have been packed. */
export function requestPacker(vocabSize: number): (request: SequenceRequest) => PackedRequest {
  const ids = once<readonly number[] | Int32Array, Int32Array>(packedIds)
  // What is not in the vocabulary is never sampled: it stops, bans and favours nothing.
  const known = (id: number) => id >= 0 && id < vocabSize
  const knownIds = once((list: number[]) => packedIds(list.filter(known)))
  const mask = once((list: number[]) => bitmask(list, vocabSize))
  const values = once((bias: [number, number][]) => packedValues(bias.filter(([token]) => known(token))))
  const tokens = once((bias: [number, number][]) => packedIds(bias.map(([token]) => token).filter(known)))
  const everything = new Uint32Array(0)
  return ({ promptIds, sampling, ...request }) => {
    const { allowedTokenIds, badWords, logitBias, stopTokenIds, eosTokenIds, ...scalars } = sampling
    return {
      ...request,
      promptIds: ids(promptIds),
      sampling: scalars,
      lists: {
        allowed: allowedTokenIds ? mask(allowedTokenIds) : everything,
        biasTokens: tokens(logitBias),
        biasValues: values(logitBias),
        badWords: badWords ? ids(badWords) : NO_IDS,
        stopTokens: knownIds(stopTokenIds),
        endTokens: knownIds(eosTokenIds),
      },
    }
  }
}
