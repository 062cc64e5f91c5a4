/**
 * The CUDA graph: 16-bit floats, ONNX Runtime's own PagedAttention, and no adapter inputs: our ops take each step's adapters from the addon, so that
 * a captured CUDA graph replays with any. Every node has a CUDA kernel for both types, and none works on shapes: one node on the CPU would forbid capture.
 */

import type { AddedTokens, Site } from '../../../adapters-store/types.ts'
import { decodeFloats, encodeFloats } from '../../../native/floats.ts'
import type { Architecture } from '../architecture.ts'
import { readCacheScales } from '../cache-scales.ts'
import type { Attribute } from '../onnx.ts'
import { quantizedProduct } from '../quantized.ts'
import { shapeOf, single, type Weight } from '../weights.ts'
import { type Attention, attentionAttributes, Device, type NormBy, type Normed, type Product, type Rows } from './device.ts'

const MICROSOFT = 'com.microsoft'

export class Cuda extends Device {
  inputs(layers: number, kvHeads: number, headDim: number): void {
    const ints: [string, (number | string)[]][] = [
      ['input_ids', ['T']],
      ['cumulative_sequence_length', ['B1']],
      ['past_seqlens', ['B']],
      ['block_table', ['B', 'M']],
      ['slot_mapping', ['T']],
      ['logits_indices', ['R']],
      ['attention_metadata', [2]],
    ]
    for (const [name, shape] of ints) this.graph.input(name, 'int32', shape)
    for (let i = 0; i < layers; i++)
      // The op wants as many views of values as of keys.
      for (const cache of [`key_cache.${i}`, `value_cache.${i}`])
        this.graph.input(cache, this.setup.cacheDtype, [`N_${i}`, 'block_size', kvHeads, headDim])
  }

  weight(weight: Weight): string {
    const { dtype } = this.setup
    if (this.weights.use(weight, { as: dtype })) this.graph.external(weight.name, dtype, shapeOf(weight))
    return weight.name
  }

  /** The head, which decides between close logits, and tied with it the embedding are never quantized here. */
  products(x: string, products: Product[]): string[] {
    const { weights } = this.setup
    const bits = weights === 'int4' ? 4 : weights === 'int8' ? 8 : undefined
    return products.map((one) => (bits && one.kind === 'linear' ? quantizedProduct(this, bits, x, one) : this.gemm(x, one)))
  }

  /**
   * A kernel less for each, and one that reads enough to fill the device: alone the products of k and v do not. Where each starts at 16 bytes, which the
   * adapters' kernels read at once.
   */
  joins(group: Site[]): boolean {
    return group.every(({ outFeatures, bias }) => outFeatures % 8 === 0 && Boolean(bias) === Boolean(group[0].bias))
  }

  /** The offset is added in float32 here: an Add in the graph would run in 16 bits, every step. */
  normWeight(name: string, size: number, offset: number): string {
    if (!offset) return this.weight(single(name, [size]))
    const values = this.weights.read(name, [size])
    return this.constant(
      `${name}.offset`,
      [size],
      values.map((w) => w + offset),
    )
  }

  embeddingRows(table: Weight): string {
    return this.graph.op('Gather', [this.weight(table), 'input_ids'], 'embedding.rows')
  }

  /** So that a captured step needs neither a second look-up nor a second product: zeros are what adapters' rows are added to. */
  addedRows(count: number): number {
    return count
  }

  /** One op for both: they lie side by side as products of several projections do. */
  logits(x: string, product: string, head: Site, added: AddedTokens): [string] {
    const sites = [head, added.head]
    const attributes = {
      sites: { ints: sites.map((site) => site.index) },
      widths: { ints: sites.map((site) => site.outFeatures) },
    }
    const [logits] = this.adapterOp('BatchedLora', [x], [product], [`${head.module}.out`], attributes, 'R')
    return [this.graph.shape(logits, this.setup.dtype, ['R', head.outFeatures + added.count])]
  }

  adapterOp(
    op: string,
    before: string[],
    after: string[],
    outputs: string[],
    attributes: Record<string, Attribute>,
    rows: Rows,
  ): string[] {
    const all = { ...attributes, logits_rows: { int: rows === 'R' ? 1 : 0 } }
    return this.graph.node(op, [...before, ...after], outputs, all, 'lorikeet')
  }

  /** The op takes them packed. */
  unpacked(qkv: string): [string] {
    return [qkv]
  }

  attention(a: Attention, q: string, k = '', v = ''): string {
    const scales = this.cacheScales(a.path)
    const inputs = [...this.attentionInputs(a, q, k, v), ...(scales ?? ['', '']), 'attention_metadata']
    const types: Record<string, Attribute> = scales
      ? { k_quant_type: { string: 'PER_TENSOR' }, v_quant_type: { string: 'PER_TENSOR' } }
      : {}
    const out = this.graph.op('PagedAttention', inputs, `${a.path}.out`, { ...attentionAttributes(a), ...types }, MICROSOFT)
    return this.graph.shape(out, this.setup.dtype, ['T', a.heads * a.headDim])
  }

  /** Names of k's and v's scales, where the cache has 8 bits. */
  private cacheScales(path: string): [string, string] | undefined {
    const { cacheDtype, cacheScheme } = this.setup
    if (cacheDtype !== 'int8' && cacheDtype !== 'float8') return undefined
    const { k, v } = readCacheScales(this.weights, path, cacheDtype, cacheScheme)
    const constant = (name: string, scale: number) =>
      this.graph.constant(name, 'float32', [1], encodeFloats('float32', Float32Array.of(scale)))
    return [constant(`${path}.cache.k_scale`, k), constant(`${path}.cache.v_scale`, v)]
  }

  /** Multiplies by the factor, or divides by its inverse where only that is a 16-bit number. */
  scaled(x: string, factor: number, output: string): string {
    if (factor === 1) return x
    const inverse = !this.exact(factor) && this.exact(1 / factor)
    return this.graph.op(inverse ? 'Div' : 'Mul', [x, this.scalar(inverse ? 1 / factor : factor)], output)
  }

  /** Whether a number survives rounding to the activations' type (but for the error of one division). */
  private exact(value: number): boolean {
    const rounded = new Float32Array(1)
    decodeFloats(this.setup.dtype, encodeFloats(this.setup.dtype, Float32Array.of(value)), rounded)
    return Math.abs(rounded[0] - value) <= 1e-12 * Math.abs(value)
  }

  softcapped(x: string, cap: number, prefix: string): string {
    if (!cap) return x
    const ratio = this.scaled(x, 1 / cap, `${prefix}.cap.ratio`)
    return this.scaled(this.graph.op('Tanh', [ratio], `${prefix}.cap.tanh`), cap, `${prefix}.cap`)
  }

  norm(x: string, { weight, epsilon }: NormBy, output: string): string {
    return this.graph.op('SimplifiedLayerNormalization', [x, weight], output, {
      axis: { int: -1 },
      epsilon: { float: epsilon },
      stash_type: { int: 1 },
    })
  }

  /**
   * One kernel for both. It sums and normalises in float32 only in the provider's strict mode (`enable_skip_layer_norm_strict_mode`), which the
   * session must set.
   */
  addNorm(x: string, y: string, { weight, epsilon }: NormBy, sum: string, normed: string): Normed {
    const attributes = { epsilon: { float: epsilon } }
    this.graph.node('SkipSimplifiedLayerNormalization', [x, y, weight], [normed, '', '', sum], attributes, MICROSOFT)
    return { sum, normed }
  }
}

/**
 * The same model without a factor on every block's output (Granite): the residual stream, the embedding included, is divided by it instead. Norms
 * undo that, with an epsilon that is divided by its square, as long as they alone read the stream and none stands after a block.
 */
export function withoutResidualScale(a: Architecture): Architecture {
  const { beforeAttention, afterAttention, beforeMlp, afterMlp } = a.norms
  if (a.residualScale === 1 || !beforeAttention || !beforeMlp || afterAttention || afterMlp || a.qkNorm !== 'none') return a
  return {
    ...a,
    embeddingScale: a.embeddingScale / a.residualScale,
    normEpsilon: a.normEpsilon / a.residualScale ** 2,
    residualScale: 1,
  }
}

/**
 * Tokens of a KV block with which FlashAttention reads the pages in place: the keys that its kernel takes at a time, which a page must hold whole.
 * Smaller pages are served too, by slower kernels.
 */
export function defaultBlockSize(headDim: number): number {
  return headDim <= 64 ? 256 : headDim <= 128 ? 128 : 64
}

/** Why com.microsoft.PagedAttention would refuse this model's shape, if it would (onnxruntime's paged_attention_helper.h). */
export function unfitForCuda({ headDim, heads, layers }: Architecture): string | undefined {
  if (headDim % 16 || headDim > 256) return `head_dim is ${headDim}; on CUDA it must be a multiple of 16, 256 at most`
  if (heads > 1024) return `num_attention_heads is ${heads}; on CUDA it must be 1024 at most`
  const odd = layers.find(({ rope }) => rope.rotaryDim % 16)
  return odd && `partial_rotary_factor rotates ${odd.rope.rotaryDim} channels; on CUDA it must be a multiple of 16`
}
