/** What differs between the devices' graphs: element types, graph inputs, how weights come in, the attention op, the adapter ops' inputs, fused ops. */
import type { AddedTokens, Site } from '../../../adapters-store/types.ts'
import { encodeFloats } from '../../../native/floats.ts'
import type { CacheDtype, TensorType, WeightForm } from '../../../native/types.ts'
import type { Layer } from '../architecture.ts'
import type { Attribute, OnnxGraph } from '../onnx.ts'
import type { Rope } from '../rope.ts'
import { ropeTables } from '../rope-tables.ts'
import type { Weight, Weights } from '../weights.ts'

/** Rows of an op: packed tokens, or the rows whose logits are wanted. */
export type Rows = 'T' | 'R'

/** The model's numbers that an attention op carries, and names of what it reads. */
export interface Attention {
  layer: number
  path: string
  heads: number
  kvHeads: number
  headDim: number
  scale: number
  softcap: number
  window: Layer['window']
  rope: Rope
  /** Names of q_norm's and k_norm's weights of each head; both or none. */
  headNorms?: [string, string]
  normEpsilon: number
}

/** x Wᵀ + bias, of a layer's projection or of the head. */
export interface Product {
  kind: 'linear' | 'head'
  /** [out, in] */
  weight: Weight
  /** [out] */
  bias?: Weight
  output: string
}

/** A sum, and its RMS norm. */
export interface Normed {
  sum: string
  normed: string
}

/** What rows are normed by: [rows, width], each with the weight [width]. */
export interface NormBy {
  weight: string
  width: number
  epsilon: number
  rows: Rows
}

export interface Setup {
  /** Element type of activations, norms, biases and logits. */
  dtype: TensorType
  cacheDtype: CacheDtype
  /** What the checkpoint's KV cache scales, if any, were made for. */
  cacheScheme: 'float8' | 'int8'
  /** Positions that the rope tables cover. */
  positions: number
  /** Whether adapters may add tokens to the vocabulary. */
  addedTokens: boolean
  /** How products' weights are kept, where it is not `dtype`: on CUDA int8 and int4, of the layers' projections; on the CPU any, the head's too. */
  weights?: WeightForm
}

export abstract class Device {
  readonly graph: OnnxGraph
  readonly weights: Weights
  readonly setup: Setup
  private readonly scalars = new Map<number, string>()
  /** Rope tables by their settings: layers of one kind share them. */
  private readonly tables = new Map<string, { cos: string; sin: string }>()

  constructor(graph: OnnxGraph, weights: Weights, setup: Setup) {
    this.graph = graph
    this.weights = weights
    this.setup = setup
  }

  /** Declares the graph's inputs. */
  abstract inputs(layers: number, kvHeads: number, headDim: number): void
  /** A weight in `dtype`. */
  abstract weight(weight: Weight): string
  /** Products of one input x [rows, in]: their outputs' names. */
  abstract products(x: string, products: Product[], rows: Rows): string[]
  /** Whether projections that share their input become one product, whose outputs lie side by side. */
  abstract joins(group: Site[]): boolean
  /** A norm's weight in `dtype`, `offset` added (Gemma stores w − 1). */
  abstract normWeight(name: string, size: number, offset: number): string
  /**
   * Rows of the embedding's table, in `dtype`. For a token that an adapter adds any row, or where `addedRows` says so one of zeros. `tied`: the table is the
   * head's weight too.
   */
  abstract embeddingRows(table: Weight, tied: boolean): string
  /** Rows of zeros behind the table and the head's weight, for `count` tokens that adapters may add. */
  abstract addedRows(count: number): number
  /**
   * The head's product with every adapter's delta, and the logits of added tokens: behind it in its rows, or a second tensor. `x` [R, in]; `product`: the base's, by
   * the weight with its added rows.
   */
  abstract logits(x: string, product: string, head: Site, added: AddedTokens): [string, string?]
  /** Adds a node of ours: `before` and `after` stand around the inputs that say which row is whose. */
  abstract adapterOp(
    op: string,
    before: string[],
    after: string[],
    outputs: string[],
    attributes: Record<string, Attribute>,
    rows: Rows,
  ): string[]
  /** q, k and v of all heads, from one packed projection where there is no k and no v. */
  abstract attention(a: Attention, q: string, k?: string, v?: string): string
  /** q, k and v of a packed projection; the device may leave them packed. */
  abstract unpacked(qkv: string, sizes: number[], path: string): [string, string?, string?]
  /** x · factor. */
  abstract scaled(x: string, factor: number, output: string): string
  /** cap · tanh(x / cap). */
  abstract softcapped(x: string, cap: number, prefix: string): string
  /** x's RMS norm with the weight, named `output`. */
  abstract norm(x: string, by: NormBy, output: string): string
  /** sum = x + y, named `sum`; normed = its RMS norm, named `normed`. */
  abstract addNorm(x: string, y: string, by: NormBy, sum: string, normed: string): Normed

  /** A product of weights in `dtype`. */
  protected gemm(x: string, { weight, bias, output }: Product): string {
    const inputs = [x, this.weight(weight), ...(bias ? [this.weight(bias)] : [])]
    return this.graph.op('Gemm', inputs, output, { transB: { int: 1 } })
  }

  scalar(value: number): string {
    let name = this.scalars.get(value)
    if (!name) {
      name = this.constant(`scalar.${value}`, [], Float32Array.of(value))
      this.scalars.set(value, name)
    }
    return name
  }

  /** A constant in `dtype`. */
  constant(name: string, shape: number[], values: Float32Array): string {
    return this.graph.constant(name, this.setup.dtype, shape, encodeFloats(this.setup.dtype, values))
  }

  /** Inputs that both devices' PagedAttention has, in their order: up to `k_norm_weight`. */
  protected attentionInputs(a: Attention, q: string, k: string, v: string): string[] {
    const { cos, sin } = this.rope(a.rope)
    const cache = [`key_cache.${a.layer}`, `value_cache.${a.layer}`]
    const tables = ['cumulative_sequence_length', 'past_seqlens', 'block_table', cos, sin, 'slot_mapping']
    const noHeadSink = ''
    return [q, k, v, ...cache, ...tables, noHeadSink, ...(a.headNorms ?? ['', ''])]
  }

  private rope(rope: Rope): { cos: string; sin: string } {
    const key = JSON.stringify(rope)
    let names = this.tables.get(key)
    if (!names) {
      const { cos, sin } = ropeTables(rope, this.setup.positions)
      const shape = [this.setup.positions, rope.rotaryDim / 2]
      const id = this.tables.size
      names = { cos: this.constant(`rope.${id}.cos`, shape, cos), sin: this.constant(`rope.${id}.sin`, shape, sin) }
      this.tables.set(key, names)
    }
    return names
  }
}

/** Attributes that both devices' PagedAttention has. */
export function attentionAttributes(a: Attention): Record<string, Attribute> {
  return {
    num_heads: { int: a.heads },
    kv_num_heads: { int: a.kvHeads },
    scale: { float: a.scale },
    softcap: { float: a.softcap },
    local_window_size: { int: a.window },
    do_rotary: { int: 1 },
    rotary_interleaved: { int: 0 },
    qk_norm_epsilon: { float: a.normEpsilon },
  }
}
