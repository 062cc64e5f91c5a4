/** What `lorikeet check` finds: the JSON that `--json` prints. Sizes are bytes. */

export interface CheckedAdapter {
  name: string
  directory: string
  served: boolean
  /** Why it is refused, with the server's code (docs/errors.md). */
  code?: string
  reason?: string
  /** PEFT method; absent where it is refused. */
  method?: string
  /** The largest of its low-rank products, as they are served; 0: it has none. */
  rank?: number
  /** Ends of the names of the modules that it changes: `q_proj`, `lm_head`, and how many modules those are. */
  targets?: string[]
  modules?: number
  /** Of the pool, while a request uses it. */
  poolBytes?: number
  /** Of host memory. */
  hostBytes?: number
  /** Whether its values were read; else only its config and its header. */
  valuesRead?: boolean
  warnings?: string[]
}

export interface CheckedModel {
  name: string
  directory: string
  served: boolean
  /** Why not. */
  reason?: string
  modelType?: string
  /** Weights of the checkpoint. */
  parameters?: number
  device?: string
  dtype?: string
  quantization?: string
  kvCacheDtype?: string
  adapterDtype?: string
  /** Prompt and output tokens together. */
  maxModelLen?: number
}

export interface CheckedPool {
  bytes: number
  blockBytes: number
  blocks: number
  /** Tokens of a block. */
  blockSize: number
  kvBytesPerToken: number
  /** Tokens that it holds without any adapter. */
  tokens: number
  /** Adapters of those here that it holds at once, the largest first, with no token beside them. */
  adapters: number
  /** Tokens beside all of them; null: they do not fit together, and take turns. */
  tokensBesideAll: number | null
}

export interface CheckedMemory {
  /** The program itself: Node, ONNX Runtime, what the tokenizers take in it and in their processes. */
  process: number
  weights: number
  graph: number
  workspace: number
  pool: number
  /** Copies of the adapters in host memory: all of them, or as many as have room. */
  hostAdapters: number
  /** All of it together. */
  total: number
  /** What there is: the machine's memory, or the container's limit. */
  limit: number
  fits: boolean
}

export interface CheckReport {
  model: CheckedModel
  adapters: CheckedAdapter[]
  /** Absent where the model is refused. `bytes`, `blocks`, `tokens` and `adapters` are 0 where only the device can say (CUDA without --pool). */
  pool?: CheckedPool
  /** Absent where the model is refused, and on CUDA, whose memory is another. */
  memory?: CheckedMemory
  /** Of the device, on CUDA. */
  deviceMemory?: { weights: number; pool: number; workspace: number }
  hostMemory?: { limit: number; adapters: number }
  warnings: string[]
}

export const allServed = ({ model, adapters, memory }: CheckReport) =>
  model.served && adapters.every(({ served }) => served) && memory?.fits !== false
