/** The CPU's graph: float32 activations, our own PagedAttention and products of packed weights, and the adapters' segments as graph inputs (docs/graph.md). */
import type { AddedTokens, Site } from '../../../adapters-store/types.ts'
import type { StoredPacking, TensorType, WeightForm } from '../../../native/types.ts'
import { type Attribute, DATA_TYPE } from '../onnx.ts'
import { type Kept, keptAs } from '../stored/packing.ts'
import { shapeOf, single, type Weight } from '../weights.ts'
import { type Attention, attentionAttributes, Device, type NormBy, type Normed, type Product, type Rows } from './device.ts'

/** The inputs that the adapter ops share. */
const SEGMENTS = ['segment_starts', 'segment_entries', 'entry_adapter', 'entry_weight']
const LOGITS_SEGMENTS = ['logits_segment_starts', ...SEGMENTS.slice(1)]

/** The head decides between close logits, and the embedding is all that is known of a token: they keep 8 bits where the rest has 4. */
const headForm = (form: WeightForm): WeightForm => (form === 'int4' ? 'int8' : form)

export class Cpu extends Device {
  private readonly casts = new Set<string>()
  /** Weights that the engine packs, by name: their places in its table. */
  private readonly packed = new Map<string, number>()

  inputs(layers: number): void {
    const ints: [string, (number | string)[]][] = [
      ['input_ids', ['T']],
      ['cumulative_sequence_length', ['B1']],
      ['past_seqlens', ['B']],
      ['block_table', ['B', 'M']],
      ['slot_mapping', ['T']],
      ['segment_starts', ['S1']],
      ['logits_segment_starts', ['S1']],
      ['segment_entries', ['S1']],
      ['entry_adapter', ['E']],
      ['logits_indices', ['R']],
    ]
    if (this.setup.addedTokens) ints.push(['table_ids', ['T']])
    for (const [name, shape] of ints) this.graph.input(name, 'int32', shape)
    this.graph.input('entry_weight', 'float32', ['E'])
    for (let i = 0; i < layers; i++)
      // Of whatever type: the addon knows, and where in a view which element lies.
      for (const cache of [`key_cache.${i}`, `value_cache.${i}`]) this.graph.input(cache, 'uint8', [`N_${cache}`, 'view_bytes'])
  }

  /** A checkpoint tensor as it lies in the file; one that is quantized as floats. */
  private stored(weight: Weight): TensorType {
    const { name } = weight
    const shape = shapeOf(weight)
    const found = this.weights.find(name, shape)
    const dtype = found.stored ? 'float32' : found.dtype
    if (this.weights.use(weight, { as: dtype })) this.graph.external(name, dtype, shape)
    return dtype
  }

  /** The cast of a 16-bit tensor is folded when the session is made. */
  weight(weight: Weight): string {
    const { name } = weight
    if (this.stored(weight) === 'float32') return name
    const cast = `${name}.float32`
    if (!this.casts.has(name)) {
      this.casts.add(name)
      this.graph.op('Cast', [name], cast, { to: { int: DATA_TYPE.float32 } })
    }
    return cast
  }

  /** With packed weights one op for all of a form, which rounds x once. */
  products(x: string, products: Product[], rows: Rows): string[] {
    const alike = new Map<string, { kept: Kept; group: Product[] }>()
    for (const one of products) {
      const kept = this.packing(one)
      if (!kept) {
        this.gemm(x, one)
        continue
      }
      const key = `${kept.form} ${kept.inputs ?? ''}`
      const known = alike.get(key)
      if (known) known.group.push(one)
      else alike.set(key, { kept, group: [one] })
    }
    for (const { kept, group } of alike.values()) this.linear(this.ordered(x, kept, group, rows), kept.form, group, rows)
    return products.map(({ output }) => output)
  }

  /** How a product's weight is packed: as the checkpoint has it where it is quantized there, if products can read that; undefined: not at all. */
  private packing({ kind, weight }: Product): Kept | undefined {
    const { stored } = this.weights.find(weight.name, shapeOf(weight))
    const kept = stored && keptAs(stored)
    if (kept) return kept
    const { weights } = this.setup
    return weights && { form: kind === 'head' ? headForm(weights) : weights }
  }

  /** x with its columns as the weights' inputs lie. */
  private ordered(x: string, { inputs }: Kept, [{ output, weight }]: Product[], rows: Rows): string {
    if (!inputs) return x
    const order = this.graph.constant(`${output}.order`, 'int32', [inputs.length], new Uint8Array(inputs.buffer))
    const ordered = this.graph.op('Gather', [x, order], `${output}.in`, { axis: { int: 1 } })
    return this.graph.shape(ordered, 'float32', [rows, shapeOf(weight)[1]])
  }

  private linear(x: string, form: Kept['form'], products: Product[], rows: Rows): string[] {
    const outFeatures = products.map(({ weight }) => shapeOf(weight)[0])
    const biases = products.map(({ bias }) => (bias ? this.weight(bias) : ''))
    while (biases.at(-1) === '') biases.pop()
    const attributes = { weights: { ints: products.map(({ weight }) => this.packedWeight(weight, form)) } }
    const outputs = products.map(({ output }, i) => this.graph.shape(output, 'float32', [rows, outFeatures[i]]))
    return this.graph.node('Linear', [x, ...biases], outputs, attributes, 'lorikeet')
  }

  /** The weight's place among those that the engine packs. */
  private packedWeight(weight: Weight, form: WeightForm | StoredPacking): number {
    const place = this.packed.get(weight.name) ?? this.packed.size
    if (this.weights.use(weight, { pack: form })) this.packed.set(weight.name, place)
    return place
  }

  /** A joined weight would be a copy: here weights are used where the file is mapped. */
  joins(): boolean {
    return false
  }

  normWeight(name: string, size: number, offset: number): string {
    const weight = this.weight(single(name, [size]))
    return offset ? this.graph.op('Add', [weight, this.scalar(offset)], `${name}.offset`) : weight
  }

  /** Rows are gathered from the table as it is stored, or as it is packed where it is the head's weight too: only T of them are converted. */
  embeddingRows(table: Weight, tied: boolean): string {
    const ids = this.setup.addedTokens ? 'table_ids' : 'input_ids'
    const { weights } = this.setup
    if (weights && tied) {
      const attributes = { weight: { int: this.packedWeight(table, headForm(weights)) } }
      const rows = this.graph.op('PackedEmbedding', [ids], 'embedding.rows', attributes, 'lorikeet')
      return this.graph.shape(rows, 'float32', ['T', shapeOf(table)[1]])
    }
    const dtype = this.stored(table)
    const rows = this.graph.op('Gather', [table.name, ids], 'embedding.rows')
    return dtype === 'float32' ? rows : this.graph.op('Cast', [rows], 'embedding.float32', { to: { int: DATA_TYPE.float32 } })
  }

  /** A longer table would be a copy: what lies behind it is told apart by id. */
  addedRows(): number {
    return 0
  }

  /** A tensor of their own, which is empty where no row's adapter adds tokens: others pay nothing. */
  logits(x: string, product: string, head: Site, added: AddedTokens): [string, string] {
    const attributes = { sites: { ints: [head.index] }, widths: { ints: [head.outFeatures] } }
    const [logits] = this.adapterOp('BatchedLora', [x], [product], [`${head.module}.out`], attributes, 'R')
    const [behind] = this.adapterOp('AddedLogits', [x], [], [`${head.module}.added`], { site: { int: added.head.index } }, 'R')
    this.graph.shape(behind, 'float32', ['R', 'added'])
    return [this.graph.shape(logits, 'float32', ['R', head.outFeatures]), behind]
  }

  adapterOp(
    op: string,
    before: string[],
    after: string[],
    outputs: string[],
    attributes: Record<string, Attribute>,
    rows: Rows,
  ): string[] {
    const segments = rows === 'R' ? LOGITS_SEGMENTS : SEGMENTS
    return this.graph.node(op, [...before, ...segments, ...after], outputs, attributes, 'lorikeet')
  }

  unpacked(qkv: string, sizes: number[], path: string): [string, string, string] {
    const [q, k, v] = this.split(qkv, sizes, [`${path}.q`, `${path}.k`, `${path}.v`])
    return [q, k, v]
  }

  private split(x: string, sizes: number[], outputs: string[]): string[] {
    const lengths = this.graph.constant(
      `${outputs[0]}.sizes`,
      'int64',
      [sizes.length],
      new Uint8Array(BigInt64Array.from(sizes.map(BigInt)).buffer),
    )
    return this.graph.node('Split', [x, lengths], outputs, { axis: { int: -1 } })
  }

  attention(a: Attention, q: string, k: string, v: string): string {
    const attributes = { head_size: { int: a.headDim }, ...attentionAttributes(a) }
    const out = this.graph.op('PagedAttention', this.attentionInputs(a, q, k, v), `${a.path}.out`, attributes, 'lorikeet')
    return this.graph.shape(out, 'float32', ['T', a.heads * a.headDim])
  }

  scaled(x: string, factor: number, output: string): string {
    return factor === 1 ? x : this.graph.op('Mul', [x, this.scalar(factor)], output)
  }

  softcapped(x: string, cap: number, prefix: string): string {
    if (!cap) return x
    const ratio = this.graph.op('Mul', [x, this.scalar(1 / cap)], `${prefix}.cap.ratio`)
    const bounded = this.graph.op('Tanh', [ratio], `${prefix}.cap.tanh`)
    return this.graph.op('Mul', [bounded, this.scalar(cap)], `${prefix}.cap`)
  }

  norm(x: string, by: NormBy, output: string): string {
    return this.normOf([x, by.weight], by, [output])[0]
  }

  /** One op, in which a thread has a row's sum in its cache when it norms it; few rows are not handed to other threads at all. */
  addNorm(x: string, y: string, by: NormBy, sum: string, normed: string): Normed {
    this.normOf([x, by.weight, y], by, [normed, sum])
    return { sum, normed }
  }

  private normOf(inputs: string[], { rows, width, epsilon }: NormBy, outputs: string[]): string[] {
    for (const output of outputs) this.graph.shape(output, 'float32', [rows, width])
    return this.graph.node('AddNorm', inputs, outputs, { epsilon: { float: epsilon } }, 'lorikeet')
  }
}
