/** What goes into the engine and what comes out; plain data that crosses the thread border. One file: both sides are read together. */
import type { MessagePort } from 'node:worker_threads'
import type { AdapterDtype, AdapterImage, ClassifierHead } from '../adapters-store/types.ts'
import type { CacheDtype, Device, TensorType } from '../native/types.ts'
import type { WeightCacheSettings } from './engine/weight-cache.ts'
import type { SamplingScalars } from './sampling-options.ts'

/** Already validated and defaulted by the caller. Its numbers are the table's (sampling-options.ts), which says what they mean. */
export interface SamplingParams extends SamplingScalars {
  maxTokens: number
  /** 64 bits, signed or not. Absent: drawn at random per sequence. */
  seed?: bigint
  /** token id → bias */
  logitBias: [number, number][]
  allowedTokenIds?: number[]
  /** Words that it must not write, as records: how many tokens a word has, then those. A word's last token is not sampled where the output ends with its others. */
  badWords?: Int32Array
  /** End the sequence when sampled (after minTokens). Includes the model's eos ids unless ignoreEos. */
  stopTokenIds: number[]
  /** Banned until minTokens; the model's eos ids. */
  eosTokenIds: number[]
  ignoreEos: boolean
  /** Debugging and tests: return raw logits of every sampled position, of the tokens that exist for the request. */
  returnLogits?: boolean
}

/** What of the sampling parameters is no list. */
export type ScalarSampling = Omit<SamplingParams, 'allowedTokenIds' | 'badWords' | 'logitBias' | 'stopTokenIds' | 'eosTokenIds'>

/** An adapter by name, content and weight. The image must have been given to the engine (`Engine.addAdapter`) before. */
export interface AdapterUse {
  name: string
  digest: string
  weight: number
  /** As many of its first rank rows are used, at every place that it changes; absent, or more than it has: all. */
  rank?: number
}

/** Which final hidden states a pooled sequence gives: that of its last token, that of its first, the mean of all, or each of them. */
export type Pooling = 'last' | 'first' | 'mean' | 'each'

/** One sequence. A request with n > 1 or several prompts is several of these. */
export interface SequenceRequest {
  id: string
  /** Over shared memory it crosses to the engine's thread without a copy; it must not be changed then. */
  promptIds: readonly number[] | Int32Array
  sampling: SamplingParams
  /** It ends with its prompt and gives a hidden state instead of tokens; `sampling` is POOLED_SAMPLING then. */
  pooling?: Pooling
  /** Empty: the base model. */
  adapters: AdapterUse[]
  /** Separates prefix caches, as the request wishes. */
  cacheSalt?: string
  /** Separates prefix caches, whatever the request wishes. */
  tenant?: string
  /** Whom its service is counted for under fair scheduling: a tenant, or an adapter. Absent: all that have none together. */
  flow?: string
  /** Milliseconds after `arrival` by which its first token is wanted; refused where it cannot be expected by then (`too_late`). */
  firstTokenMs?: number
  /** Lower is earlier, each by some seconds of waiting (scheduler/sequence.ts); FCFS within the same. Default 0. */
  priority?: number
  /** An output without tokens tells that its first step has begun. Absent: the first output that brings something does. */
  tellStart?: boolean
  /** What its answer must be: a grammar that a thread which makes masks knows (`Engine.addMaskThread`). */
  constraint?: { thread: number; grammar: number }
  /** Milliseconds since epoch, for queue-time metrics. */
  arrival: number
}

export type FinishReason = 'stop' | 'length' | 'abort' | 'error'

/**
 * Logprobs of N tokens: what a step reports, as it reports it (StepOutput). They cross to the main thread as they are, without an object per token: 32k prompt tokens
 * with 20 likeliest each, as objects, kept the engine's thread for 210 ms and the main thread for 430 ms.
 */
export interface Logprobs {
  tokens: Int32Array // [N]
  logprob: Float32Array // [N], of `tokens`
  rank: Int32Array // [N], of `tokens`, 1-based
  topStarts: Int32Array // [N+1]: the likeliest at row i are those at [topStarts[i], topStarts[i+1])
  topTokens: Int32Array // best first
  topLogprobs: Float32Array
}

/** Rows [from, to) of `of`, which other sequences of the step share. */
export interface LogprobRows {
  of: Logprobs
  from: number
  to: number
}

/** What one step brought for one sequence. */
export interface SequenceOutput {
  id: string
  tokens: number[]
  /** As many as tokens when logprobs were asked for. */
  logprobs?: LogprobRows
  /** When promptLogprobs were asked for: those of the prompt tokens that this step has scored. In order, with or before the first tokens; the prompt's first has none. */
  promptLogprobs?: LogprobRows
  /** One per token when returnLogits. */
  logits?: Float32Array[]
  /** Of a pooled sequence, with finish 'stop'. Shape: [hidden]; of 'each' [tokens, hidden]. */
  pooled?: Float32Array<ArrayBuffer>
  finish?: FinishReason
  /** The stop token that ended it, if one did. */
  stopToken?: number
  /** With finish 'length' where neither maxTokens nor the context ended it: alone in the pool, it could not grow (EngineSettings.poolBytes). */
  stopReason?: 'pool_exhausted'
  /** With finish 'error'. */
  error?: { code: string; message: string /** Seconds after which it makes sense to try again. */; retryAfter?: number }
  /** Prompt tokens found in the prefix cache; set on the first output. */
  cachedTokens?: number
  /** Milliseconds since epoch: first scheduled (set on the first output), for queue/prefill/decode times. */
  scheduledAt?: number
  /** Milliseconds since epoch between which its adapters' bytes were brought into the pool, as far as that ended after its arrival; set on the first output. */
  load?: { from: number; to: number }
  /** Milliseconds of steps so far, by its tokens' part of those that each step computed. */
  deviceMs?: number
}

/** Already validated by the caller; what is left out depends on device and model (runtime/model/options.ts, runtime/engine/load.ts). */
export interface SpeculationSettings {
  tokens: number
  shortest: number
  longest: number
}

export interface EngineSettings {
  modelDir: string
  device: Device
  /** Of weights, and on CUDA of activations; auto: see BuildOptions. */
  dtype: 'auto' | TensorType
  /** Of rank rows. auto: float16 on the CPU; on CUDA it is the activations'. */
  adapterDtype: 'auto' | AdapterDtype
  /** auto, the default: as the activations. */
  cacheDtype?: 'auto' | CacheDtype
  /** Weights of projections in 4 or 8 bits, on the CPU the head's too. */
  quantization?: 'int4' | 'int8'
  /** Where packed weights (CPU) are kept from start to start; absent: nowhere. */
  weightCache?: WeightCacheSettings
  /** Absent (CUDA): as much as `memoryFraction` of the device's memory (0.9) leaves. */
  poolBytes?: number
  memoryFraction?: number
  /** Absent: 16 on the CPU; on CUDA what attention over pages is fastest with. */
  blockSize?: number
  maxBatchTokens: number
  maxSequences: number
  /** Tokens of a step that one prompt takes at most while others could use them. Absent or 0: half of maxBatchTokens. */
  longPrefillTokens?: number
  /** Milliseconds for which prompts may make a step last beside sequences that decode (docs/scheduler.md). Absent or 0: no bound. */
  maxStepMs?: number
  /** Whoever has been served least is next (docs/scheduler.md). */
  fair?: boolean
  /** Once so many adapters run, requests of these go first, within bounds. Absent or 0: only where bringing another in would displace something. */
  adapterCluster?: number
  maxModelLen?: number
  /** Tokens that an adapter may add to the vocabulary; absent: 256 (runtime/model/options.ts). 0: none, and the graph has no room for them. */
  extraTokens?: number
  threads: number
  /** See native/types.ts; as many as threads. */
  cpus?: number[]
  memoryNodes?: number[]
  prefixCache: boolean
  /** CUDA: replay decode steps as graphs; the default. */
  captureGraphs?: boolean
  /** See native/types.ts; off by default. */
  overlapLaunches?: boolean
  /** Plan and queue the next step while one runs. Absent: on CUDA. */
  asyncScheduling?: boolean
  /** Bytes of which no frame has fewer (runtime/pool/frames.ts). Absent: 64 KiB. Lower where blocks of small models are to be cut as well (tests). */
  leastFrameBytes?: number
  /** Speculative decoding (runtime/scheduler/speculation.ts): at most `tokens` are drafted, where the last `shortest` to `longest` tokens have stood before. Absent: none. */
  speculation?: SpeculationSettings
  /** Run the invariant validator after every step (tests). */
  validate?: boolean
}

/** What the server needs to know of the loaded model. */
export interface EngineInfo {
  modelType: string
  /** Elements of a hidden state. */
  hiddenSize: number
  /** It has no language-model head: only pooled sequences can run. */
  headless?: boolean
  /** The base's own classifier. */
  classifier?: ClassifierHead
  /** The base's; an adapter's may differ (AdapterImage.vocabSize). */
  vocabSize: number
  /** Tokens that adapters may add behind it. */
  addedTokens: number
  maxModelLen: number
  eosTokenIds: number[]
  blockSize: number
  blockCount: number
  blockBytes: number
  /** Blocks are cut into frames of so many bytes for small adapters; as many as `blockBytes` where they are not. */
  frameBytes: number
  device: Device
  /** The GPU's name, or the CPU's instruction set. */
  deviceName: string
  /** Of weights that are not quantized, and on CUDA of activations. */
  dtype: TensorType
  cacheDtype: CacheDtype
  adapterDtype: AdapterDtype
  /** Sequences that run at once, each in a slot of its own, and the words of a slot's mask: a bit per token id. */
  slots: number
  maskWords: number
}

/** What makes masks. See Engine.addMaskThread. */
export interface MaskThread {
  id: number
  port: MessagePort
  places: Uint32Array
}

/** Blocks that have come into the prefix cache, or left it. Hashes are 32 bytes in base64 (runtime/pool/prefix-cache.ts). */
export type CacheEvent =
  | {
      type: 'stored'
      /** Of blocks that follow each other. */
      hashes: string[]
      /** Of the block before the first of them; undefined: they begin a prompt. */
      parent: string | undefined
      /** As many as the blocks hold. */
      tokens: number[]
      /** Whose K and V they hold, in canonical order; none: the base's. */
      adapters: AdapterUse[]
      cacheSalt?: string
      tenant?: string
    }
  | { type: 'removed'; hashes: string[] }

/** What changed in one step, or in several that the listener was too slow for. `at`: milliseconds since epoch. */
export interface CacheBatch {
  at: number
  events: CacheEvent[]
}

/**
 * Who is told what changes in the prefix cache: a CacheBatch is posted to `port` for every step that changes it, while fewer than `most` wait to be taken. `shared` is two words (runtime/engine/cache-teller.ts):
 * the listener counts the batches that it took in the first; when the second is 1 something is kept back, and any message to the port asks for it.
 */
export interface CacheListener {
  port: MessagePort
  shared: Int32Array
  most: number
}

/** What lies in the prefix cache, and the number of the last batch that told of it: 1 for the first. */
export interface CachedBlocks {
  sequence: number
  hashes: string[]
}

/** What one step computed, and the milliseconds that its parts took. */
export interface StepTimes {
  tokens: number
  sequences: number
  scheduleMs: number
  runMs: number
  sampleMs: number
}

/** An adapter whose weights lie in the pool. */
export interface ResidentInfo {
  digest: string
  /** Of all adapters with this content. */
  names: readonly string[]
  /** Of the pool: its blocks and frames. */
  bytes: number
}

/** Adapters that have come into the pool and gone from it, in order, since this was told last. */
export interface ResidentChanges {
  came: { digest: string; bytes: number }[]
  /** Digests. One that went and came again is in both, and is there. */
  went: string[]
}

/** Pool and queues at one moment: metrics, dashboard and the invariant validator read this and nothing else. */
export interface EngineSnapshot {
  step: number
  running: number
  waiting: number
  blocks: { total: number; free: number; sequences: number; adapters: number; idleAdapters: number; cachedPrefixes: number }
  /** Frames of the blocks that adapters share: `blocks` counts such a block as an adapter's, idle where all in it are. */
  frames: { used: number; free: number }
  /** How many adapters lie in the pool; which ones, `Engine.residents` tells. */
  residentAdapters: number
  counters: {
    promptTokens: number
    generationTokens: number
    cachedTokens: number
    prefixQueries: number
    prefixHits: number
    preemptions: number
    adapterLoads: number
    /** Of these, those that came before their sequence was admitted. */
    prefetchedLoads: number
    /** To make room. */
    adapterEvictions: number
    /** Of these, those that shared blocks and came again more closely. */
    repackedEvictions: number
    /** Those whose adapter has gone. */
    removedEvictions: number
    prefixEvictions: number
    steps: number
    failedSteps: number
    /** Rows that were computed and not sampled: their masks were late. */
    lateMasks: number
    /** Speculative decoding: drafts that steps computed, their tokens, and those that stayed. */
    drafts: number
    draftTokens: number
    acceptedTokens: number
    /** Sequences refused for the time of their first token (`too_late`): room for them would not have come in time, or the prompts before theirs would have taken too long. */
    lateForRoom: number
    lateForTime: number
  }
  /** `acceptedTokens` by place in the draft. Empty where there is no speculative decoding. */
  acceptedAt: readonly number[]
  lastStep: StepTimes
}

/** Sequences of the same adapters and flow, as owner of blocks. */
export interface OwnerGroup {
  /** Of this group alone while the engine lives. */
  id: number
  /** Empty: the base model. */
  adapters: { name: string; weight: number }[]
  /** Whom its service is counted for, or the tenant; '' if nobody was named. */
  flow: string
}

/** The pool block by block, with those who have it: what has changed since the last look. */
export interface PoolLook {
  /** All is told anew: blocks that are not told are free. */
  whole: boolean
  /**
   * Runs of blocks: the first one, how many, and a value for each: its state in the low STATE_BITS (a place in BLOCK_STATES), above it who has it: a group's id, an adapter's index, or
   * how many frames of it are taken.
   */
  blocks: Uint32Array<ArrayBuffer>
  /** Adapters that have come into the pool, or are another than before, by index: blocks that they have whole, and blocks of which they have so many frames. */
  adapters: {
    index: number
    name: string
    digest: string
    bytes: number
    blocks: number
    shared: [block: number, frames: number][]
  }[]
  /** Indices that are no adapter's any more. */
  gone: number[]
  /** Groups that have come. */
  groups: OwnerGroup[]
  /** Of every group that has sequences now, LOAD_FIELDS. Those that are missing have gone. */
  loads: Uint32Array<ArrayBuffer>
  /** Sequences that wait and are in no group's numbers: only so many are counted. */
  uncounted: number
}

/** The engine as the server holds it, on the main thread. */
export interface Engine {
  readonly info: EngineInfo
  /** Latest snapshot that came up with a step. */
  readonly snapshot: EngineSnapshot
  /** Adapters whose weights lie in the pool, wholly, by digest. */
  readonly residents: ReadonlyMap<string, ResidentInfo>
  /** Names of adapters that open sequences need and that do not lie in the pool, or not wholly yet. */
  waitingAdapters(): string[]
  /** Makes an image known to the engine thread (host tier); pool residency comes when a request needs it. Idempotent by digest. */
  addAdapter(image: AdapterImage): void
  /** With a name only that name of the content. Else the engine forgets the image once no sequence uses it. */
  removeAdapter(digest: string, name?: string): void
  /**
   * A thread that makes masks: it is sent ToMasks over `port`, answers with FromMasks, and writes into `places` (runtime/engine/masks.ts). Its id is new; `places`: words for
   * `maskWords` and one more, for each of the engine's slots.
   */
  addMaskThread(thread: MaskThread): void
  /** It is gone: sequences that it constrains end with `constraint_lost`. */
  removeMaskThread(id: number): void
  /** Tells one listener what changes in the prefix cache from now on. To be called before the first sequence. */
  tellCache(listener: CacheListener): void
  /** As the listener has been told; undefined without one, or when the engine can tell no more. */
  cachedBlocks(): Promise<CachedBlocks | undefined>
  /** Queues a sequence; `onOutput` is called once per step that concerns it, the last time with `finish`. Throws EngineError when it can never run. */
  submit(request: SequenceRequest, onOutput: (output: SequenceOutput) => void): void
  /** Ends a sequence; its blocks are free within a step. A last output with finish 'abort' is sent. Unknown ids are ignored. */
  abort(id: string): void
  /** Called once for every step. */
  onStep?: (step: StepTimes) => void
  /** Called if the engine can go on no longer (its thread died, its device is lost); every open sequence has got an error output. */
  onFailure?: (error: Error) => void
  /** Called with what an operator should know of although the engine goes on. */
  onWarning?: (message: string) => void
  /** Milliseconds for which the engine's thread has told nothing although sequences are open: a step takes that long, or hangs. */
  readonly silentMs: number
  /** What has changed of the pool since the last look; `whole`: all of it. Undefined when the engine can tell no more. */
  look(whole: boolean): Promise<PoolLook | undefined>
  /** Resolves when nothing is in flight. */
  idle(): Promise<void>
  close(): Promise<void>
}

export type { AdapterImage, ClassifierHead }
