/** Decode steps put together by hand, so that the native step can be measured without the scheduler. */
import type { AdapterImage } from '../adapters-store/types.ts'
import type { NativeEngine, PackedAdapter, SlotInput, StepBatch, StepOutput } from '../native/types.ts'
import { packOptions } from '../runtime/sampling-options.ts'
import type { ScalarSampling } from '../runtime/types.ts'

/** The images as residents, in pool blocks from `firstBlock` on; frames of each in blocks of its own. */
export function residentsOf(images: AdapterImage[], firstBlock: number): PackedAdapter[] {
  let next = firstBlock
  return images.map((image, index) => ({
    index,
    generation: index + 1,
    digest: BigInt(`0x${image.digest.slice(0, 16)}`),
    image: new Uint8Array(image.image),
    blocks: Int32Array.from({ length: image.blocks }, () => next++),
    frames: framesIn(image, () => next++),
    rows: image.rows,
    entries: image.entries,
  }))
}

function framesIn({ frames, blockBytes, frameBytes }: AdapterImage, nextBlock: () => number): Int32Array {
  const perBlock = blockBytes / frameBytes
  let block = 0
  return Int32Array.from({ length: frames }, (_, i) => {
    if (i % perBlock === 0) block = nextBlock()
    return block * perBlock + (i % perBlock)
  })
}

export interface DecodeRows {
  rows: number
  /** Tokens of each sequence that are cached before the step. */
  context: number
  blockSize: number
  vocabSize: number
  /** Row r uses adapter r mod adapters.length; none: the base. */
  adapters: PackedAdapter[]
  /** What every row asks for; without it greedy tokens, nothing else. */
  sampling?: Float64Array
  /** The step's token in row r; its default differs from row to row. */
  token?: (row: number) => number
  returnLogits?: boolean
}

/** Greedy, nothing else asked for; or what `asked` says beside that. */
export const samplingOf = (asked: Partial<ScalarSampling> = {}): Float64Array =>
  packOptions({
    ...{ maxTokens: 1, minTokens: 0, temperature: 0, topP: 1, topK: 0, minP: 0, ignoreEos: true },
    ...{ presencePenalty: 0, frequencyPenalty: 0, repetitionPenalty: 1, logprobs: -1, promptLogprobs: -1 },
    ...asked,
  })
export const GREEDY = samplingOf()

/** A prompt to be entered in a slot, with lists of nothing. */
export const slotInput = (slot: number, tokens: Int32Array, used: PackedAdapter[] = [], sampling = GREEDY): SlotInput => ({
  slot,
  tokens,
  promptLength: tokens.length,
  entryAdapter: Int32Array.from(used, (adapter) => adapter.index),
  entryGeneration: Int32Array.from(used, (adapter) => adapter.generation),
  entryDigest: BigUint64Array.from(used, (adapter) => adapter.digest),
  entryWeight: new Float32Array(used.length).fill(1),
  options: sampling,
  seed: 0n,
  biasTokens: new Int32Array(0),
  biasValues: new Float32Array(0),
  allowed: new Uint32Array(0),
  stopTokens: new Int32Array(0),
  endTokens: new Int32Array(0),
})

/** Enters the rows' sequences in slots 0, 1, …; row r's KV lies in blocks r·n, r·n + 1, … Returns the step that computes their last token. */
export function admitRows(engine: NativeEngine, options: DecodeRows): StepBatch {
  const { rows, context, blockSize, vocabSize, adapters, returnLogits, sampling = GREEDY } = options
  const token = options.token ?? ((row) => (row * 7919 + 11) % vocabSize)
  const perSequence = Math.ceil((context + 1) / blockSize)
  const blocks: number[] = []
  const sequences: number[] = []
  for (let slot = 0; slot < rows; slot++) {
    const used = adapters.length === 0 ? [] : [adapters[slot % adapters.length]]
    engine.admit(slotInput(slot, new Int32Array(context + 1).fill(token(slot)), used, sampling))
    for (let place = 0; place < perSequence; place++) blocks.push(slot, place, slot * perSequence + place)
    sequences.push(slot, context, 1, 0, 0, 1, 0, 0, 0)
  }
  return { sequences: Int32Array.from(sequences), blocks: Int32Array.from(blocks), returnLogits }
}

export function releaseRows(engine: NativeEngine, rows: number): void {
  for (let slot = 0; slot < rows; slot++) engine.release(slot)
}

/** One such step; `stepMs` is the native step's time alone. */
export async function decodeStep(engine: NativeEngine, options: DecodeRows): Promise<StepOutput & { stepMs: number }> {
  const batch = admitRows(engine, options)
  try {
    const started = performance.now()
    const output = await engine.step(batch)
    return { ...output, stepMs: performance.now() - started }
  } finally {
    releaseRows(engine, options.rows)
  }
}
