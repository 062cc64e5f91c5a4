/**
 * The whole contract between TypeScript and the native addon, in one place. TypeScript validates, C++ trusts and asserts.
 * Everything that crosses per step is a packed typed array; no objects, no pointers.
 *
 * Shapes use: T packed tokens of B sequences, M blocks a block-table row, S segments, E adapter entries, R logits rows, V vocabulary.
 */

/** Element types of checkpoint tensors that the graph may reference. */
export type TensorType = 'float32' | 'float16' | 'bfloat16'
/** Element type of rank rows in the pool. Scales and biases are float32 whatever this says. */
export type AdapterDtype = TensorType

/** Element type of the KV cache: that of the activations, or 8 bits with scales (com.microsoft.PagedAttention, CUDA only). */
export type CacheDtype = TensorType | 'int8' | 'float8'
export type Device = 'cpu' | 'cuda'

/**
 * A checkpoint tensor that an initializer of the graph points at: bytes [offset, offset + length) of `files[file]`, of type `dtype` there.
 * Given to the graph as it lies in the file, or converted while the engine loads:
 * - `as`: to another float type (round to nearest even).
 * - `int4` / `int8`: a [out, in] weight for com.microsoft.MatMulNBits (symmetric, blocks of `quantize.block` along `in`): initializer `name` gets the packed
 *   integers, `quantize.scales` the scales, of type `as` (or `dtype`).
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
  /** Threads of ORT's own pool; the custom ops use the same. */
  threads: number
  layers: number
  kvHeads: number
  headDim: number
  vocabSize: number
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
  /** The widest input of any site (CUDA). */
  maxSiteInputs: number
  /** The head's site (CUDA). */
  headSite: number
  /** Replay decode steps as CUDA graphs. Off: for finding faults. */
  captureGraphs: boolean
  /** Start adapter kernels while the kernel before them drains (CUDA, compute capability 9.0 and up). Off until it has been timed: docs/cuda.md, "Overlap". */
  overlapLaunches: boolean
  /** Number of adapter sites (see adapters-store/types.ts); site ids are 0 .. siteCount-1. */
  siteCount: number
  adapterDtype: AdapterDtype
}

/**
 * An adapter in kernel layout, to be copied into pool blocks. `image` is `blocks.length * blockBytes` bytes or less (the last block may be
 * cut short); image block i goes to pool block `blocks[i]`. See adapters-store/pack.ts for the layout of `rows` and `entries`.
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
  /** [rowCount * 2]: (image block, byte offset in the block) of each row. */
  rows: Int32Array
  /** [entryCount * ENTRY_FIELDS], see ENTRY in adapters-store/types.ts. */
  entries: Int32Array
}

/** One step: any mix of prefill chunks, decode rows and prompts being scored. */
export interface StepBatch {
  inputIds: Int32Array // [T]
  cumulativeSequenceLength: Int32Array // [B+1]
  /** Tokens of each sequence already in the KV cache before this step. */
  pastSeqlens: Int32Array // [B]
  blockTable: Int32Array // [B*M], pool block ids, padded with 0
  slotMapping: Int32Array // [T], block * blockSize + offset; where each token's K and V go
  /** Segment s is rows [segmentStarts[s], segmentStarts[s+1]); segments cover all T rows. */
  segmentStarts: Int32Array // [S+1]
  /** Segment s uses entries [segmentEntries[s], segmentEntries[s+1]): none = base only, several = a weighted mix. */
  segmentEntries: Int32Array // [S+1]
  entryAdapter: Int32Array // [E], adapter index
  entryGeneration: Int32Array // [E]
  entryDigest: BigUint64Array // [E]
  entryWeight: Float32Array // [E]
  /** Rows whose logits are wanted, ascending. R may be 0 (a step of prefill chunks only). */
  logitsIndices: Int32Array // [R]
  sampling: SamplingBatch
  /** Return the raw logits too (tests and tools). */
  returnLogits?: boolean
}

/** Struct of arrays, one item per logits row unless said otherwise. */
export interface SamplingBatch {
  /** 0 = greedy. */
  temperature: Float32Array // [R]
  topP: Float32Array // [R], 1 = off
  topK: Int32Array // [R], <= 0 = off
  minP: Float32Array // [R], 0 = off
  /** Random stream: the draw depends on (seed, position) alone, so it is the same alone and in any batch. */
  seed: BigUint64Array // [R]
  position: Int32Array // [R]
  presencePenalty: Float32Array // [R], over output tokens
  frequencyPenalty: Float32Array // [R], over output tokens
  repetitionPenalty: Float32Array // [R], over prompt and output tokens; 1 = off
  /** CSR: tokens of the sequence so far for rows with a penalty (empty otherwise); the first historyPrompt[r] are the prompt's. */
  historyStarts: Int32Array // [R+1]
  history: Int32Array
  historyPrompt: Int32Array // [R]
  /** CSR: added to the logits before everything else; -Infinity bans a token. */
  biasStarts: Int32Array // [R+1]
  biasTokens: Int32Array
  biasValues: Float32Array
  /** CSR: if not empty for a row, only these tokens may be sampled. */
  allowedStarts: Int32Array // [R+1]
  allowedTokens: Int32Array
  /** Top logprobs wanted: -1 none at all, 0 only the chosen token's, n the n largest too. */
  logprobs: Int32Array // [R]
  /** -1 = sample; otherwise do not sample, report this token's logprob (prompt scoring). */
  target: Int32Array // [R]
}

export interface StepOutput {
  tokens: Int32Array // [R], the sampled token (or the target)
  /** log-softmax of the raw logits (before penalties, bias and temperature) at `tokens`; 0 where logprobs = -1. */
  logprob: Float32Array // [R]
  /** 1-based rank of `tokens` among the raw logits; 0 where logprobs = -1. */
  rank: Int32Array // [R]
  topStarts: Int32Array // [R+1]
  topTokens: Int32Array // best first
  topLogprobs: Float32Array
  /** 0 = fine; 1 = an entry's (index, generation, digest) is not what is resident: the segment's rows are void. */
  segmentStatus: Uint8Array // [S]
  /** 1 where the row's logits are not finite numbers (NaN): the row's token is void. */
  rowStatus: Uint8Array // [R]
  /** [R*V] when returnLogits. */
  logits?: Float32Array
  /** Milliseconds in the graph and in sampling. */
  runMs: number
  sampleMs: number
}

export interface NativeEngine {
  readonly blockBytes: number
  readonly blockCount: number
  /** Pins an image that will be put, so that its bytes reach the device without the host's help (CUDA; nothing on the CPU). Idempotent. */
  pinImage(image: Uint8Array): void
  /** Undoes pinImage. An upload in flight is waited for. */
  unpinImage(image: Uint8Array): void
  /**
   * Copies an image into its blocks and enters it in the adapter table. The blocks must be free of any step in flight. Throws on misuse.
   * On CUDA the copy runs beside the steps; a step that uses the adapter before `adapterReady` waits for it on the device.
   */
  putAdapter(adapter: PackedAdapter): void
  /** Whether the adapter's bytes have arrived: a step with it waits for nothing. */
  adapterReady(index: number): boolean
  /** Removes it from the table; the blocks are the caller's again. Idempotent. */
  dropAdapter(index: number): void
  /**
   * One step off the JavaScript threads. One at a time. Rejects if the graph fails; the pool's KV outside the batch's slots is untouched then.
   * An error with code DEVICE_LOST: no later step can succeed.
   */
  step(batch: StepBatch): Promise<StepOutput>
  /** Releases session, pool and mapped files. No step may be in flight. */
  close(): void
}

export interface NativeAddon {
  /** Loads the library, maps the files, creates the session. onProgress: fraction 0..1 of the bytes mapped and read. */
  createEngine(options: EngineOptions, onProgress: (fraction: number) => void): Promise<NativeEngine>
  /** `cuda`: whether the addon has CUDA kernels. */
  info(): { simd: 'avx512' | 'avx2' | 'portable'; cuda: boolean }
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
  /** In memory, or from byte `offset` of a file of the base model, which is mapped for the time of a call. */
  data: Uint8Array | Float32Array | { file: string; offset: number }
}

/** An adapter's image while it is made (AdapterImage in adapters-store/types.ts): `places` are its `rows`. */
export interface FoldImage {
  dtype: AdapterDtype
  blockBytes: number
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
   * Image rows [firstA, firstA + rank) become A, [firstB, …) scale · B; each pair of rows balanced for float16 (native/fold/place.h). Shape: a [rank, in], b [rank, out].
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
  /** Image rows [first, first + rows.rows) become these. Returns their largest magnitude, as `largest`. */
  placeRows(image: FoldImage, first: number, rows: FoldMatrix, threads: number): number
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
}
