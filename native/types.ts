/**
 * The whole contract between TypeScript and the native addon, in one file. TypeScript validates what people give it; what crosses is checked once more, always,
 * for lengths, ranges and owners: a wrong call throws and changes nothing.
 * Everything that crosses per step is a packed typed array; no objects, no pointers.
 *
 * Shapes use: T packed tokens of B sequences, K changes of block tables, R logits rows, V vocabulary.
 */

/** Element types of checkpoint tensors that the graph may reference. */
export type TensorType = 'float32' | 'float16' | 'bfloat16'
/** How the CPU keeps a product's weights: in 16 bits, or in 8 or 4 with scales (native/kernels/linear.h). */
export type WeightForm = 'float16' | 'bfloat16' | 'int8' | 'int4'
export type StoredPacking = 'uint4' | 'uint8' // of weights that the checkpoint has quantized
/** Element type of rank rows in the pool. Scales and biases are float32 whatever this says. */
export type AdapterDtype = TensorType | 'int8'

/** Element type of the KV cache: that of the activations, or 8 bits with scales (com.microsoft.PagedAttention, CUDA only). */
export type CacheDtype = TensorType | 'int8' | 'float8'
export type Device = 'cpu' | 'cuda'

/** `length` bytes at `offset` of `file`. */
export interface FilePart<File = string> {
  file: File
  offset: number
  length: number
}

/** How a checkpoint has a weight [out, in] in integers (native/numeric/stored.h): w = scale · (number − zero point). */
export interface StoredForm {
  layout: 'awq' | 'gptq' | 'rows' | 'bytes'
  bits: 4 | 8
  in: number
  out: number
  /** Inputs that share a scale. */
  group: number
  /** Added to zero points as they are stored. */
  zeroOffset: number
  /** Zero points are int8 about zero, each by itself; else they are packed as the numbers are. */
  byteZeros: boolean
  /** A single one for the whole weight. */
  oneScale: boolean
  scaleType: TensorType
}

/** What belongs to a weight's numbers. */
export interface StoredParts<File = string> {
  form: StoredForm
  scales: FilePart<File>
  zeros?: FilePart<File>
  order?: FilePart<File> // int32 [in]: each input's group; absent: they follow one another
}

/** Where a tensor lies. Of one with `stored` the bytes are its numbers, of type `dtype`, and `shape` is the weight's. */
export interface TensorRef extends FilePart {
  dtype: TensorType | 'int8' | 'int32' | 'int64' | 'uint8' | 'bool' | 'float64'
  shape: number[]
  stored?: StoredParts
}

/**
 * A checkpoint tensor that an initializer of the graph points at: bytes [offset, offset + length) of `files[file]`, of type `dtype` there.
 * Given to the graph as it lies in the file, or converted while the engine loads:
 * - `as`: to another float type (round to nearest even).
 * - `int4` / `int8`: a [out, in] weight for com.microsoft.MatMulNBits (symmetric, blocks of `quantize.block` along `in`): initializer `name` gets the packed
 *   integers, `quantize.scales` the scales, of type `as` (or `dtype`).
 * - `pack`: not as an initializer of the graph, but for the CPU's Linear and PackedEmbedding, which name a packed weight by its place among all such refs. [out, in].
 * With `stored` the bytes are a quantized weight's numbers: packed they are kept as they are where `pack` is uint4 or uint8, and where it is int8 and the weight has
 * one symmetric scale for an output; in all else they become floats first. `dtype` is then that of the scales.
 * Refs of one name that follow each other are the parts of one initializer, along its first dimension and in this order; what they become (type, quantization,
 * other dimensions) must be the same.
 */
export interface InitializerRef {
  name: string
  dtype: TensorType
  shape: number[]
  file: number
  offset: number
  length: number
  as?: TensorType
  quantize?: { bits: 4 | 8; block: number; scales: string }
  pack?: WeightForm | StoredPacking
  stored?: StoredParts<number>
  /** So many zeros (`shape`, and `length` bytes of `dtype`) instead of what a file holds; not the first of its name. */
  zeros?: true
}

export interface EngineOptions {
  device: Device
  /** Path of libonnxruntime: the one onnxruntime-node ships; for CUDA one with its provider libraries beside it. */
  library: string
  /** Element type of activations, as the graph has them: float32 on the CPU; float16 or bfloat16 on CUDA. */
  dtype: TensorType
  /** Serialized ONNX ModelProto. Initializers named in `initializers` carry no data; all others are embedded. */
  model: Uint8Array
  files: string[]
  initializers: InitializerRef[]
  /**
   * A file that packed weights are kept in: mapped where it is there and whole, else written when they have been packed, if it can be. Its name must tell what they are
   * made of and `NativeAddon.info().packedLayout`. Absent: nowhere.
   */
  packedFile?: string
  /** Threads of ORT's own pool; the custom ops use the same. */
  threads: number
  /** The CPU that each of these threads stays on, by Linux's number; absent: where the system puts them. CPU engine. */
  cpus?: number[]
  /** Memory nodes that the engine's memory comes from, as long as they have room; absent: any. CPU engine. */
  memoryNodes?: number[]
  layers: number
  kvHeads: number
  headDim: number
  vocabSize: number
  /** Tokens that adapters may add behind the vocabulary, as the graph has room for. 0 where it is not given. */
  addedTokens?: number
  /** Tokens a KV block holds. */
  blockSize: number
  /** Element type of the KV cache. */
  cacheDtype: CacheDtype
  /** Blocks in the pool; each has blockSize * layers * 2 * kvHeads * headDim elements of cacheDtype. 0 (CUDA): as many as fit `memoryFraction`, `maxBlockCount` at most. */
  blockCount: number
  /** Share of the device's memory that weights, workspace and pool may take together (CUDA). */
  memoryFraction: number
  maxBlockCount: number
  /** What a step may hold at most: tokens, sequences, tokens of one sequence. Device buffers are sized by these, once. */
  maxBatchTokens: number
  maxSequences: number
  maxModelLen: number
  /** Rows of logits that a step holds at most: what samples, and what is scored. */
  maxLogitsRows: number
  /** The widest input of any site (CUDA). */
  maxSiteInputs: number
  /** Elements of a hidden state. */
  hiddenSize: number
  /** The graph has no head: no step may sample or score (`maxLogitsRows` is 0), only sum hidden states. */
  headless?: boolean
  /** The head's site, and that of the rows which adapters add to it, if they may (CUDA). */
  headSite: number
  addedHeadSite?: number
  /** Replay decode steps as CUDA graphs. Off: for finding faults. */
  captureGraphs: boolean
  /** Drafts of what comes next are looked up: what followed where a sequence's last tokens stood before, `shortest` of them at least and `longest` at most. Absent: none are. */
  lookup?: { shortest: number; longest: number }
  /** Start adapter kernels while the kernel before them drains (CUDA, compute capability 9.0 and up). Off until it has been timed: docs/cuda.md, "Overlap". */
  overlapLaunches: boolean
  /** Number of adapter sites (see adapters-store/types.ts); site ids are 0 .. siteCount-1. */
  siteCount: number
  /** Per site inFeatures, outFeatures, and 1 for the embedding; without it, putAdapter cannot check how long an adapter's rows are. */
  siteShapes?: Int32Array
  adapterDtype: AdapterDtype
  /** Bytes of a frame: adapters may take equal parts of a block in place of whole ones. A multiple of 64 that divides a block's bytes; absent: blocks are not divided. */
  frameBytes?: number
}

/**
 * An adapter in kernel layout, for the pool. `image` is a run of pages: `blocks.length` whole blocks, then `frames.length` frames; the last one may be cut
 * short. Page i goes to pool block `blocks[i]`, or to the frame `frames[i - blocks.length]`, which is block · (frames in a block) + place in it. A row lies in one page, so
 * one that is longer than a frame lies in a whole block. See adapters-store/types.ts for the layout of `rows` and `entries`.
 */
export interface PackedAdapter {
  /** Place in the adapter table, 0-based, reused after dropAdapter. */
  index: number
  /** Rises with every residency in this process; a batch must name the same one. */
  generation: number
  /** First 64 bits of the content digest. */
  digest: bigint
  image: Uint8Array
  blocks: Int32Array
  frames: Int32Array
  /** [rowCount * 2]: (page, byte offset in the page) of each row. */
  rows: Int32Array
  /** [entryCount * ENTRY_FIELDS], see ENTRY in adapters-store/types.ts. */
  entries: Int32Array
}

/**
 * What a sequence brings, once: it stays in its slot of the addon's batch until the sequence is released. A slot (of the batch; not of the KV cache) is one of
 * 0 .. maxSequences-1. Token ids lie in the vocabulary; `tokens` in the sequence's own.
 */
export interface SlotInput {
  slot: number
  /** The prompt, then what had been sampled before a preemption. */
  tokens: Int32Array
  promptLength: number
  /** Token ids that exist for it: 0 to below this; no other is sampled. The base's vocabulary where it is not given. */
  vocabSize?: number
  /** Adapters of the sequence, resident until it is released: none = base only, several = a weighted mix. */
  entryAdapter: Int32Array
  entryGeneration: Int32Array
  entryDigest: BigUint64Array
  entryWeight: Float32Array
  /** Of each as many of its first rank rows as are used; 0: all. Absent: all of all. */
  entryRank?: Int32Array
  /** The first position at which they act, below tokens.length: all before it is the base's. Absent: 0. */
  adaptersFrom?: number
  /** Tokens that are drafted at most after each one that is sampled (EngineOptions.lookup). Absent: none. */
  drafts?: number
  /** Scalar sampling options in the order of runtime/sampling-options.ts. */
  options: Float64Array
  /** Random stream: a draw depends on (seed, number of tokens sampled before) alone, so it is the same alone and in any batch. */
  seed: bigint
  /** Added to the logits before everything else; -Infinity bans a token. */
  biasTokens: Int32Array
  biasValues: Float32Array
  /** A bit per token id, those that adapters may add included, the lowest first: only these may be sampled. Empty: all may. */
  allowed: Uint32Array
  /** Words not to be written, as records: how many tokens a word has, then those. Its last token is not sampled where the output ends with its others. Absent: none. */
  badWords?: Int32Array
  /** End the sequence when sampled; reported in `stopped`. Not sampled before minTokens. */
  stopTokens: Int32Array
  /** Not sampled before minTokens either (the model's end tokens, which do not stop a sequence that ignores them). */
  endTokens: Int32Array
}

/** Fields of one item of `StepBatch.sequences`. */
export const STEP_SEQUENCE = {
  slot: 0,
  /** Tokens whose K and V lie in the cache; the step computes the next `count` (1 or more). */
  past: 1,
  count: 2,
  /** Prompt scoring: the tokens that follow positions [scoreFrom, scoreFrom + scored), all of them computed in this step, get their logprobs. */
  scoreFrom: 3,
  scored: 4,
  /** 1: the token after the last one is sampled; the step computes all that are known, or are being sampled by the step in flight. */
  samples: 5,
  /** The final hidden states (after the last norm) at positions [sumFrom, sumFrom + summed), all of them computed in this step, are summed. */
  sumFrom: 6,
  summed: 7,
  /**
   * The last so many of `count` are the first tokens of the slot's draft (StepOutput.drafts). With `samples`, and no mask and no step in flight: one token is sampled after the last known
   * token and one after each drafted token, in as many rows; a row counts for as long as each draft before it is the token that was sampled there.
   */
  drafted: 8,
} as const
export const STEP_SEQUENCE_FIELDS = 9

/** Fields of one item of `StepBatch.blocks`: slot, place, block. That place of the slot's block table is now that pool block. Items of one slot follow each other. */
export const STEP_BLOCK_FIELDS = 3

/**
 * Fields of one item of `StepBatch.masks`: slot, region (by the order of addMasks), ticket. The slot samples by the mask that lies in its place of that region, and only if the
 * mask has that ticket by then: when it samples on the CPU, when the step begins on CUDA.
 */
export const STEP_MASK_FIELDS = 3

/** One step: any mix of prefill chunks, decode rows and prompts being scored. It names slots and says what changed in them. */
export interface StepBatch {
  /** [B * STEP_SEQUENCE_FIELDS]. Neighbours with the same adapters share a segment: sort by them. */
  sequences: Int32Array
  /** [K * STEP_BLOCK_FIELDS]: blocks that the slots' tables have gained since they were last told. */
  blocks: Int32Array
  /** [M * STEP_MASK_FIELDS]; absent: nobody has one. */
  masks?: Int32Array
  /** Return the raw logits too (tests and tools). */
  returnLogits?: boolean
}

/** Of a row of logits (`StepOutput.rowStatus`); 0: fine. */
export const ROW_STATUS = { notFinite: 1, maskLate: 2, nothingAllowed: 3, notReached: 4 } as const

/** R logits rows: of each sequence in turn its scored rows, then the one that samples, or those. */
export interface StepOutput {
  tokens: Int32Array // [R], the sampled token (or the scored one)
  /** log-softmax of the raw logits (before penalties, bias and temperature) at `tokens`; 0 where no logprobs were asked for. */
  logprob: Float32Array // [R]
  /** 1-based rank of `tokens` among the raw logits; 0 where no logprobs were asked for. */
  rank: Int32Array // [R]
  topStarts: Int32Array // [R+1]
  topTokens: Int32Array // best first
  topLogprobs: Float32Array
  /** 0 = fine; 1 = an adapter's (index, generation, digest) is not what is resident: the sequence's rows are void. */
  sequenceStatus: Uint8Array // [B]
  /** Not 0: the row's token is void. 1: its logits are not finite numbers (NaN); 2: its mask was late; 3: what the request allows leaves nothing; 4: a draft before it is not what was sampled, or the sequence has ended. */
  rowStatus: Uint8Array // [R]
  /** 1 where a stop token was sampled, at minTokens or later. */
  stopped: Uint8Array // [R]
  /** Where drafts are looked up: how many tokens are drafted after the last one that was sampled, and the first of them (−1: none). */
  drafts?: Int32Array // [B * 2]
  /** [H * hiddenSize] where H sequences have `summed` positions, in their order: the sum of each one's hidden states, its positions in order. Absent without such. */
  sums?: Float64Array
  /** [R*(V + addedTokens)] when returnLogits: −inf where a token does not exist for the row's sequence. */
  logits?: Float32Array
  /** Milliseconds in the graph and in sampling. */
  runMs: number
  sampleMs: number
  /** For whoever runs the server, where there is something to say. */
  warning?: string
}

export interface NativeEngine {
  readonly blockBytes: number
  readonly blockCount: number
  /** Pins an image that will be put, so that its bytes reach the device without the host's help (CUDA; nothing on the CPU). Idempotent. */
  pinImage(image: Uint8Array): void
  /** Undoes pinImage. An upload in flight is waited for. */
  unpinImage(image: Uint8Array): void
  /**
   * Enters an image in the adapter table, with the blocks and frames that it takes; they must be free of any step in flight. Throws on misuse. The CPU reads the image where it
   * is, and keeps its memory until the adapter is dropped and no step reads it: nobody may write to it. On CUDA it is copied, and the copy runs beside the steps; a
   * step that uses the adapter before `adapterReady` waits for it on the device.
   */
  putAdapter(adapter: PackedAdapter): void
  /** Whether the adapter's bytes have arrived: a step with it waits for nothing. */
  adapterReady(index: number): boolean
  /** Removes it from the table; its blocks and frames are the caller's again. Idempotent. */
  dropAdapter(index: number): void
  /** Enters a sequence in its slot, which must be free. Throws RangeError naming what is out of range, and then nothing has changed. */
  admit(sequence: SlotInput): void
  /**
   * A region of masks, over shared memory: for each slot a ticket, then a bit per token id (⌈(V + addedTokens) / 32⌉ words), the lowest first. Whoever writes a mask stores its
   * ticket last (Atomics.store). The memory is kept until the engine is closed.
   */
  addMasks(places: Uint32Array): void
  /** Frees the slot; its blocks are the caller's again. No step in flight may name it. Idempotent. */
  release(slot: number): void
  /**
   * One step on a thread of its own. A second one may be queued while it runs, and go on with the tokens that it samples; both settle in order. Throws RangeError
   * naming what is out of range in the batch, and then nothing runs. Rejects if the graph fails; the pool's KV outside the batch's blocks is untouched then.
   * An error with code DEVICE_LOST: no later step can succeed. With STEP_DROPPED: the step before it failed, and this one has not run.
   */
  step(batch: StepBatch): Promise<StepOutput>
  /** Releases session, pool and mapped files. No step may be in flight. */
  close(): void
}

export interface NativeAddon {
  /** Loads the library, maps the files, creates the session. onProgress: fraction 0..1 of the bytes mapped and read. */
  createEngine(options: EngineOptions, onProgress: (fraction: number) => void): Promise<NativeEngine>
  /** `cuda`: whether the addon has CUDA kernels. `packedLayout`: tells packed weights that this machine's products can read from others (EngineOptions.packedFile). */
  info(): { simd: 'avx512bf16' | 'avx512' | 'avx2' | 'neon' | 'portable'; cuda: boolean; packedLayout: number }
  /** The CUDA device that would be used, or why there is none. */
  cudaDevice(): { name: string; totalBytes: number; freeBytes: number; computeCapability: [number, number] } | { missing: string }
}

/** A matrix of floats as the folding of adapters sees it; any alignment. Not a matrix whose file may change: such bytes are read first. */
export interface FoldMatrix {
  dtype: TensorType
  rows: number
  columns: number
  /** It lies there as [columns, rows]. */
  transposed?: boolean
  /** Elements from the start of a row, as it lies there, to that of the next; absent: they follow each other. */
  stride?: number
  /** In memory; from byte `offset` of a file of the base, mapped for the time of a call; from row `row` on of a weight of the base that is quantized, made float32 for it. */
  data: Uint8Array | Float32Array | { file: string; offset: number } | { codes: FilePart; stored: StoredParts; row: number }
}

/** An adapter's image while it is made (AdapterImage in adapters-store/types.ts): `places` are its `rows`. */
export interface FoldImage {
  dtype: AdapterDtype
  /** Pages that are whole blocks; the others are frames. */
  blocks: number
  blockBytes: number
  frameBytes: number
  bytes: Uint8Array
  places: Int32Array
}

/**
 * What folds adapters: each call returns when its work is done, for loader threads. `threads` at most take part, fewer when other calls are under way; results do
 * not depend on how many. Throws a RangeError for shapes that do not fit, an Error that names a file which cannot be mapped or is too short.
 */
export interface FoldAddon {
  /** Element by element, rounding to nearest even. */
  convert(from: Uint8Array | Float32Array, fromType: TensorType, to: Uint8Array | Float32Array, toType: TensorType): void
  /** The largest magnitude; Infinity if a value is infinite or NaN. */
  largest(matrix: FoldMatrix, threads: number): number
  /** All of it as float32. Shape: into [rows * columns]. */
  readRows(matrix: FoldMatrix, into: Float32Array, threads: number): void
  /**
   * Image rows [firstA, firstA + rank) become A, [firstB, …) scale · B; each pair of rows balanced for float16 (native/fold/place.h), and for int8 with a scale in image row firstA + rank. Shape: a [rank, in], b [rank, out].
   * Returns the first pair whose largest magnitudes the image's type cannot hold.
   */
  placeFactors(
    image: FoldImage,
    a: FoldMatrix,
    firstA: number,
    b: FoldMatrix,
    firstB: number,
    scale: number,
    threads: number,
  ): { row: number; a: number; b: number } | undefined
  /**
   * Of the `count` image rows from `at` on, [first, first + rows.rows) become these; for int8 each has its scale in image row at + count. Returns their largest
   * magnitude, as `largest`.
   */
  placeRows(image: FoldImage, at: number, count: number, first: number, rows: FoldMatrix, threads: number): number
  /** into += scale · left right, in float32. Shape: left [m, k], right [k, n], into [m * n]. */
  addProduct(into: Float32Array, left: FoldMatrix, right: FoldMatrix, scale: number, threads: number): void
  /** into ⊙= left right. Shapes as addProduct's. */
  multiplyByProduct(into: Float32Array, left: FoldMatrix, right: FoldMatrix, threads: number): void
  /** into ⊙= by. Shape: into [by.rows * by.columns]. */
  multiplyElements(into: Float32Array, by: FoldMatrix, threads: number): void
  /** ‖w_o + scale Σ_j b_oj a_j‖² of each row, W + BA never written out. Shape: weight [out, in], a [rank, in], b [out, rank], result [out]. */
  squareNorms(weight: FoldMatrix, a: FoldMatrix, b: FoldMatrix, scale: number, threads: number): Float64Array
}

export interface NativeAddon {
  readonly fold: FoldAddon
  /** Asks for huge pages where `memory` is not touched yet; whole pages inside it. No effect where the system has none. */
  preferHugePages(memory: Uint8Array): void
}
