/** What the store needs to know of the base model, and what it hands to the engine. */
import type { AdapterDtype, TensorRef, TensorType } from '../native/types.ts'
import type { AdapterLimits } from './limits.ts'

/** A place in the model where an adapter can act: a projection, the embedding table or the head. `index` is its id in the graph. */
export interface Site {
  index: number
  /** Module path as PEFT sees it, e.g. `model.layers.0.self_attn.q_proj`, `model.embed_tokens`, `lm_head`. */
  module: string
  kind: 'linear' | 'embedding' | 'head'
  /** linear and head: y[out] = W[out,in] x. embedding: in = vocabulary, out = hidden; W is [vocabulary, hidden]. */
  inFeatures: number
  outFeatures: number
  /** Checkpoint tensor of W; the tied head names the embedding's. */
  weight: string
  bias?: string
  /** The graph scales this site's input alone (s_in of the canonical delta), because no other site shares it. */
  takesInputScale: boolean
}

/**
 * Where the rows of tokens go that an adapter adds to the base's vocabulary, token id − vocabSize in each: the rows behind the table, and those behind the head. Both
 * are sites of their own in the graph, with ids behind those of `BaseModel.sites`, and name the modules that they stand behind.
 */
export interface AddedTokens {
  /** How many there may be. */
  count: number
  /** inFeatures: `count`. */
  table: Site
  /** outFeatures: `count`. */
  head: Site
}

/** Plain data, so that it can be posted to the loader thread. */
export interface BaseModel {
  directory: string
  /** `_name_or_path`/folder name; shown in errors only. */
  name: string
  modelType: string
  tiedEmbeddings: boolean
  layers: number
  vocabSize: number
  hiddenSize: number
  sites: Site[]
  /** Absent: no adapter may add tokens. */
  added?: AddedTokens
  tensors: Record<string, TensorRef>
}

/** Fields of one entry of `AdapterImage.entries`; row fields are row ordinals, -1 = absent. */
export const ENTRY = {
  site: 0,
  /** Rows of A (rank r), or rows of a dense delta. */
  rank: 1,
  /** First of `rank` rows of A; in int8 a float32 row of `rank` scales follows them: h_j, or without B the row itself, is multiplied by scale j. linear/head: each inFeatures long. embedding: each vocabulary long (element t belongs to token t). */
  a: 2,
  /** First of `rank` rows of B (a column of B stored as a row, outFeatures long). -1: no B, then h = A x is added to the output directly: */
  b: 3,
  /** without B: one row of `rank` int32 output indices, y[index[j]] += h[j]; -1 = identity (rank = outFeatures). For an embedding, rows of
   *  A are then outFeatures long, index holds ascending token ids and row j is added to the embedding of token index[j]. */
  index: 4,
  /** float32 row, outFeatures long. */
  outScale: 5,
  /** float32 row, outFeatures long. */
  bias: 6,
  /** float32 row, inFeatures long; only at sites with takesInputScale. */
  inScale: 7,
} as const
export const ENTRY_FIELDS = 8

/**
 * One adapter in kernel layout (host tier). At a site the adapter changes the base's product y0 = W x (+ base bias) to
 *     y = outScale ⊙ (W (inScale ⊙ x) + b_base + B (A (inScale ⊙ x))) + bias
 * (design 7; any factor may be absent). Several adapters with weights w_i: y = y0 + Σ w_i (y_i − y0).
 * Rows (rank rows in `dtype`, of int8 with their scales in a row behind them; scales and biases float32; indices int32) are laid one after the other into pages: `blocks` whole pool blocks, then `frames` frames, equal
 * parts of a block that adapters share blocks by. Each row is 64-byte aligned, none straddles a page. `rows[2i], rows[2i+1]` = (page, byte offset) of row i.
 */
export interface AdapterImage {
  name: string
  /** Hex SHA-256 over adapter_config.json and adapter_model.safetensors, and over `text` where it has its own. */
  digest: string
  dtype: AdapterDtype
  blockBytes: number
  frameBytes: number
  /** Pages that are whole blocks. */
  blocks: number
  /** Pages behind them that are frames: fewer than a block has. */
  frames: number
  image: SharedArrayBuffer
  rows: Int32Array
  entries: Int32Array
  /** For people: PEFT method. */
  method: string
  /** Largest rank of its low-rank products; 0: it has none. */
  maxRank: number
  /** An activated LoRA: it acts from the start of the last occurrence of these in the prompt on. Never empty. Absent: it acts everywhere. */
  invocationTokens?: number[]
  /** It changes no K and no V of any layer: the cache of a sequence with it is the base's. */
  sparesCache?: true
  /** Token ids that exist for it, 0 to below this; absent: those of the base. More or fewer where its table was resized. */
  vocabSize?: number
  /** What it was trained for, where that is not to generate: no token is sampled with it. */
  task?: 'SEQ_CLS' | 'FEATURE_EXTRACTION'
  /** Its own classifier. */
  head?: ClassifierHead
  /** Its own tokenizer, chat template or ends of sequences; absent: the base's. Then the digest is over them too. */
  text?: AdapterText
  /** For people: what is odd about the adapter, such as modules that its config names and its file lacks. */
  warnings?: string[]
}

/** A classifier over a pooled hidden state: `score` or `classifier` of transformers' …ForSequenceClassification. Plain data. */
export interface ClassifierHead {
  labels: number
  /** float32: the weight [labels, hidden], then with `biased` the biases [labels]. */
  values: SharedArrayBuffer
  biased: boolean
  /** What each label is called (id2label); absent: nobody says. */
  names?: string[]
  /** What its logits mean, where the config says (problem_type). */
  problem?: 'regression' | 'single_label_classification' | 'multi_label_classification'
}

/** How an adapter's folder says that text becomes tokens and ends, where that is not as the base's does. Plain data. */
export interface AdapterText {
  /** Hex SHA-256 over all that it says, in whatever form the files say it. */
  digest: string
  /** For people: what is its own. */
  what: string[]
  /** JSON (UTF-8): the fields of tokenizer.json that are not the base's, with null for those that it lacks. Absent: the base's tokenizer. */
  definition?: SharedArrayBuffer
  /** Its own chat template. Absent: the base's. */
  template?: string
  /** Another of its own, for conversations with tools. */
  toolTemplate?: string
  /** Special tokens by name (`bos_token`, …), those of the base where it names none. */
  tokens: Record<string, string>
  /** Ids that skip_special_tokens leaves out, ascending. */
  specialIds: number[]
  /** Ids that end its answers beside the base's. */
  endTokenIds: number[]
  /** Formats that it writes calls of tools and its reasoning in, by name. Absent: what its template shows, or as the base does. */
  parsers?: { tools?: string; reasoning?: string }
  /** Of host memory that it takes beside the image. */
  bytes: number
}

/** Bytes of host memory that an adapter takes. */
export const hostBytes = ({ image, text, head }: Pick<AdapterImage, 'image' | 'text' | 'head'>) =>
  image.byteLength + (text?.bytes ?? 0) + (head?.values.byteLength ?? 0)

export interface LoadOptions {
  /** Element type of rank rows. int8: each row's largest magnitude is 127, and the scale of a pair of rows of A and B is that of their product. */
  dtype: AdapterDtype
  /** Bytes of a pool block; a multiple of 64. */
  blockBytes: number
  /** Bytes of a frame; a multiple of 64 that divides `blockBytes`. Absent: blocks are not divided. */
  frameBytes?: number
  /** Absent: any size. */
  limits?: AdapterLimits
  /** base: an adapter's own tokenizer and chat template are not used, and a warning says so. Absent: own. */
  tokenizers?: 'own' | 'base'
  /** svd: rank rows by singular value, for requests that use the first ones alone; the digest is over that too. Absent: own, as the file has them. */
  rankOrder?: 'own' | 'svd'
}

export type { AdapterDtype, TensorRef, TensorType }

/** Adapters that are in host memory, and stay until they are released. */
export interface Lease {
  /** Of each adapter, in the order asked for. */
  readonly digests: readonly string[]
  /** Their own tokenizers and chat templates; undefined: the base's. */
  readonly texts: readonly (AdapterText | undefined)[]
  /** How many token ids exist for each; undefined: as many as for the base. */
  readonly vocabSizes: readonly (number | undefined)[]
  /** Their own classifiers. */
  readonly heads: readonly (ClassifierHead | undefined)[]
  /** The largest rank of each; 0: it has none. */
  readonly maxRanks: readonly number[]
  /** Whether each can be had with some of its ranks only. */
  readonly ranked: readonly boolean[]
  /** Once. */
  release(): void
}
