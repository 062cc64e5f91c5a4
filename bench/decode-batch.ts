/** Decode steps put together by hand, so that the native step can be measured without the scheduler. */
import type { AdapterImage } from '../adapters-store/types.ts'
import type { PackedAdapter, SamplingBatch, StepBatch } from '../native/types.ts'

/** The images as residents, in pool blocks from `firstBlock` on. */
export function residentsOf(images: AdapterImage[], firstBlock: number): PackedAdapter[] {
  let next = firstBlock
  return images.map((image, index) => ({
    index,
    generation: index + 1,
    digest: BigInt(`0x${image.digest.slice(0, 16)}`),
    image: new Uint8Array(image.image),
    blocks: Int32Array.from({ length: image.blocks }, () => next++),
    rows: image.rows,
    entries: image.entries,
  }))
}

/** Greedy, nothing else asked for. */
function greedy(rows: number): SamplingBatch {
  const ints = (value: number) => new Int32Array(rows).fill(value)
  const floats = (value: number) => new Float32Array(rows).fill(value)
  return {
    temperature: floats(0),
    topP: floats(1),
    topK: ints(0),
    minP: floats(0),
    seed: new BigUint64Array(rows),
    position: ints(0),
    presencePenalty: floats(0),
    frequencyPenalty: floats(0),
    repetitionPenalty: floats(1),
    historyStarts: new Int32Array(rows + 1),
    history: new Int32Array(0),
    historyPrompt: ints(0),
    biasStarts: new Int32Array(rows + 1),
    biasTokens: new Int32Array(0),
    biasValues: new Float32Array(0),
    allowedStarts: new Int32Array(rows + 1),
    allowedTokens: new Int32Array(0),
    logprobs: ints(-1),
    target: ints(-1),
  }
}

/** One new token for each of `rows` sequences of `context` cached tokens; row r uses adapter r mod adapters.length, or the base. */
export function decodeBatch(options: {
  rows: number
  context: number
  blockSize: number
  vocabSize: number
  adapters: PackedAdapter[]
}): StepBatch {
  const { rows, context, blockSize, vocabSize, adapters } = options
  const perSequence = Math.ceil((context + 1) / blockSize)
  const range = (length: number, of: (i: number) => number) => Int32Array.from({ length }, (_, i) => of(i))
  const segments = adapters.length === 0 ? 1 : rows
  const used = adapters.length === 0 ? [] : Array.from({ length: rows }, (_, r) => adapters[r % adapters.length])
  return {
    inputIds: range(rows, (r) => (r * 7919 + 11) % vocabSize),
    cumulativeSequenceLength: range(rows + 1, (r) => r),
    pastSeqlens: range(rows, () => context),
    blockTable: range(rows * perSequence, (i) => i),
    slotMapping: range(rows, (r) => r * perSequence * blockSize + context),
    segmentStarts: segments === 1 ? Int32Array.of(0, rows) : range(rows + 1, (r) => r),
    segmentEntries: segments === 1 ? Int32Array.of(0, 0) : range(rows + 1, (r) => r),
    entryAdapter: Int32Array.from(used, (adapter) => adapter.index),
    entryGeneration: Int32Array.from(used, (adapter) => adapter.generation),
    entryDigest: BigUint64Array.from(used, (adapter) => adapter.digest),
    entryWeight: new Float32Array(used.length).fill(1),
    logitsIndices: range(rows, (r) => r),
    sampling: greedy(rows),
  }
}
