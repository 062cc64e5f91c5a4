/** The graph of docs/graph.md: the block vocabulary that every family is built from. */
import type { Site } from '../../adapters-store/types.ts'
import type { Activation, Architecture, Layer } from './architecture.ts'
import { OnnxGraph } from './onnx.ts'
import type { Rope } from './rope.ts'
import { ropeTables } from './rope-tables.ts'
import { EMBEDDING, HEAD, layerPath } from './sites.ts'
import type { Weights } from './weights.ts'

const MICROSOFT = 'com.microsoft'
const LORIKEET = 'lorikeet'
/** The inputs that the adapter ops share. */
const SEGMENTS = ['segment_starts', 'segment_entries', 'entry_adapter', 'entry_weight']
const LOGITS_SEGMENTS = ['logits_segment_starts', ...SEGMENTS.slice(1)]

export function buildGraph(a: Architecture, sites: Site[], weights: Weights, positions: number): Uint8Array {
  return new GraphBuilder(a, sites, weights, positions).build()
}

class GraphBuilder {
  private readonly graph = new OnnxGraph()
  private readonly a: Architecture
  private readonly sites: Map<string, Site>
  private readonly weights: Weights
  private readonly positions: number
  /** Rope tables by their settings: layers of one kind share them. */
  private readonly tables = new Map<string, { cos: string; sin: string }>()
  private readonly scalars = new Map<number, string>()

  constructor(a: Architecture, sites: Site[], weights: Weights, positions: number) {
    this.a = a
    this.sites = new Map(sites.map((site) => [site.module, site]))
    this.weights = weights
    this.positions = positions
  }

  build(): Uint8Array {
    this.inputs()
    let x = this.embedding()
    this.a.layers.forEach((layer, i) => {
      x = this.layer(x, layer, i)
    })
    this.head(x)
    this.graph.output('tokens', 'int32', ['R'])
    return this.graph.serialize()
  }

  private inputs(): void {
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
    for (const [name, shape] of ints) this.graph.input(name, 'int32', shape)
    this.graph.input('entry_weight', 'float32', ['E'])
    for (let i = 0; i < this.a.layers.length; i++)
      for (const cache of [`key_cache.${i}`, `value_cache.${i}`])
        this.graph.input(cache, 'float32', [`N_${cache}`, 'block_size', this.a.kvHeads, this.a.headDim])
  }

  private site(module: string): Site {
    return this.sites.get(module) as Site
  }

  private scalar(value: number): string {
    let name = this.scalars.get(value)
    if (!name) {
      name = this.graph.constant(`scalar.${value}`, [], Float32Array.of(value))
      this.scalars.set(value, name)
    }
    return name
  }

  /** A checkpoint tensor in float32. The cast of a 16-bit one is folded when the session is made. */
  private weight(name: string, shape: number[]): string {
    const raw = this.rawWeight(name, shape)
    if (raw.type === 'float32') return raw.name
    const cast = `${name}.float32`
    if (!this.casts.has(name)) {
      this.casts.add(name)
      this.graph.op('Cast', [raw.name], cast, { to: { int: 1 } })
    }
    return cast
  }
  private readonly casts = new Set<string>()

  private rawWeight(name: string, shape: number[]): { name: string; type: 'float32' | 'float16' | 'bfloat16' } {
    const { tensor, first } = this.weights.use(name, shape)
    if (first) this.graph.external(name, tensor.dtype, shape)
    return { name, type: tensor.dtype }
  }

  private scaled(x: string, factor: number, output: string): string {
    return factor === 1 ? x : this.graph.op('Mul', [x, this.scalar(factor)], output)
  }

  private softcapped(x: string, cap: number, prefix: string): string {
    if (!cap) return x
    const ratio = this.graph.op('Mul', [x, this.scalar(1 / cap)], `${prefix}.cap.ratio`)
    const bounded = this.graph.op('Tanh', [ratio], `${prefix}.cap.tanh`)
    return this.graph.op('Mul', [bounded, this.scalar(cap)], `${prefix}.cap`)
  }

  private normWeight(name: string, size: number): string {
    const weight = this.weight(name, [size])
    return this.a.normOffset ? this.graph.op('Add', [weight, this.scalar(this.a.normOffset)], `${name}.offset`) : weight
  }

  /** RMS norm over the last dimension, `size` wide. */
  private norm(x: string, module: string, size = this.a.hiddenSize): string {
    return this.graph.op('SimplifiedLayerNormalization', [x, this.normWeight(`${module}.weight`, size)], `${module}.out`, {
      axis: { int: -1 },
      epsilon: { float: this.a.normEpsilon },
      stash_type: { int: 1 },
    })
  }

  /** The base's product of one projection, without adapters. */
  private product(x: string, site: Site, output: string): string {
    const inputs = [x, this.weight(site.weight, [site.outFeatures, site.inFeatures])]
    if (site.bias) inputs.push(this.weight(site.bias, [site.outFeatures]))
    return this.graph.op('Gemm', inputs, output, { transB: { int: 1 } })
  }

  /** Projections that share their input, with every adapter's delta: one op for the group. `rows` is the name of their number of rows. */
  private projections(input: string, modules: string[], segments = SEGMENTS, rows = 'T'): string[] {
    const group = modules.map((module) => this.site(module))
    let x = input
    if (group[0].takesInputScale) {
      x = this.graph.op('ScaleInput', [x, ...SEGMENTS], `${modules[0]}.in`, { site: { int: group[0].index } }, LORIKEET)
      this.graph.shape(x, [rows, group[0].inFeatures])
    }
    const products = group.map((site) => this.product(x, site, `${site.module}.base`))
    const outputs = group.map((site) => this.graph.shape(`${site.module}.out`, [rows, site.outFeatures]))
    const sites = { sites: { ints: group.map((site) => site.index) } }
    return this.graph.node('BatchedLora', [x, ...segments, ...products], outputs, sites, LORIKEET)
  }

  private split(x: string, sizes: number[], outputs: string[]): string[] {
    const lengths = this.graph.constant(`${outputs[0]}.sizes`, [sizes.length], BigInt64Array.from(sizes.map(BigInt)))
    return this.graph.node('Split', [x, lengths], outputs, { axis: { int: -1 } })
  }

  /** Rows are gathered from the table as it is stored: only T of them are converted. */
  private embedding(): string {
    const site = this.site(EMBEDDING)
    const table = this.rawWeight(site.weight, [site.inFeatures, site.outFeatures])
    let x = this.graph.op('Gather', [table.name, 'input_ids'], 'embedding.rows')
    if (table.type !== 'float32') x = this.graph.op('Cast', [x], 'embedding.float32', { to: { int: 1 } })
    x = this.graph.op('BatchedEmbedding', ['input_ids', ...SEGMENTS, x], 'embedding.out', { site: { int: site.index } }, LORIKEET)
    this.graph.shape(x, ['T', this.a.hiddenSize])
    return this.scaled(x, this.a.embeddingScale, 'embedding.scaled')
  }

  private layer(x: string, layer: Layer, i: number): string {
    const { norms } = this.a
    const path = layerPath(i)
    const block = (
      input: string,
      before: string | undefined,
      after: string | undefined,
      name: string,
      body: (x: string) => string,
    ): string => {
      let y = body(before ? this.norm(input, `${path}.${before}`) : input)
      if (after) y = this.norm(y, `${path}.${after}`)
      y = this.scaled(y, this.a.residualScale, `${path}.${name}.scaled`)
      return this.graph.op('Add', [input, y], `${path}.${name}.residual`)
    }
    const attended = block(x, norms.beforeAttention, norms.afterAttention, 'self_attn', (y) => this.attention(y, layer, i))
    return block(attended, norms.beforeMlp, norms.afterMlp, 'mlp', (y) => this.mlp(y, `${path}.mlp`))
  }

  private attention(x: string, layer: Layer, i: number): string {
    const { a } = this
    const path = `${layerPath(i)}.self_attn`
    const sizes = [a.heads * a.headDim, a.kvHeads * a.headDim, a.kvHeads * a.headDim]
    let [q, k, v] = a.fused
      ? this.split(this.projections(x, [`${path}.qkv_proj`])[0], sizes, [`${path}.q`, `${path}.k`, `${path}.v`])
      : this.projections(x, [`${path}.q_proj`, `${path}.k_proj`, `${path}.v_proj`])
    if (a.qkNorm === 'projection') {
      q = this.norm(q, `${path}.q_norm`, sizes[0])
      k = this.norm(k, `${path}.k_norm`, sizes[1])
    }
    const headNorms =
      a.qkNorm === 'head' ? ['q_norm', 'k_norm'].map((name) => this.normWeight(`${path}.${name}.weight`, a.headDim)) : ['', '']
    const { cos, sin } = this.rope(layer.rope)
    const inputs = [
      q,
      k,
      v,
      `key_cache.${i}`,
      `value_cache.${i}`,
      'cumulative_sequence_length',
      'past_seqlens',
      'block_table',
      cos,
      sin,
      'slot_mapping',
    ]
    const attended = this.graph.op(
      'PagedAttention',
      [...inputs, '', ...headNorms],
      `${path}.out`,
      {
        num_heads: { int: a.heads },
        kv_num_heads: { int: a.kvHeads },
        head_size: { int: a.headDim },
        scale: { float: a.attentionScale },
        softcap: { float: a.attentionSoftcap },
        local_window_size: { int: layer.window },
        do_rotary: { int: 1 },
        rotary_interleaved: { int: 0 },
        qk_norm_epsilon: { float: a.normEpsilon },
      },
      LORIKEET,
    )
    this.graph.shape(attended, ['T', sizes[0]])
    return this.projections(attended, [`${path}.o_proj`])[0]
  }

  private rope(rope: Rope): { cos: string; sin: string } {
    const key = JSON.stringify(rope)
    let names = this.tables.get(key)
    if (!names) {
      const { cos, sin } = ropeTables(rope, this.positions)
      const shape = [this.positions, rope.rotaryDim / 2]
      const id = this.tables.size
      names = { cos: this.graph.constant(`rope.${id}.cos`, shape, cos), sin: this.graph.constant(`rope.${id}.sin`, shape, sin) }
      this.tables.set(key, names)
    }
    return names
  }

  private mlp(x: string, path: string): string {
    const width = this.a.intermediateSize
    const [gate, up] = this.a.fused
      ? this.split(this.projections(x, [`${path}.gate_up_proj`])[0], [width, width], [`${path}.gate`, `${path}.up`])
      : this.projections(x, [`${path}.gate_proj`, `${path}.up_proj`])
    const gated = this.graph.op('Mul', [this.activated(gate, this.a.activation, path), up], `${path}.gated`)
    return this.projections(gated, [`${path}.down_proj`])[0]
  }

  private activated(x: string, kind: Activation, path: string): string {
    const output = `${path}.activated`
    switch (kind) {
      case 'silu':
        return this.graph.op('QuickGelu', [x], output, { alpha: { float: 1 } }, MICROSOFT) // x · sigmoid(1 · x)
      case 'gelu_tanh':
        return this.graph.op('Gelu', [x], output, { approximate: { string: 'tanh' } })
      case 'gelu':
        return this.graph.op('Gelu', [x], output, { approximate: { string: 'none' } })
      case 'relu':
        return this.graph.op('Relu', [x], output)
    }
  }

  /** Logits of the wanted rows, and what is sampled from them: the logits themselves never leave the graph. */
  private head(x: string): void {
    const rows = this.graph.op('Gather', [x, 'logits_indices'], 'head.rows')
    const [product] = this.projections(this.norm(rows, 'model.norm'), [HEAD], LOGITS_SEGMENTS, 'R')
    const logits = this.softcapped(this.scaled(product, this.a.logitsScale, 'head.scaled'), this.a.logitsSoftcap, 'head')
    this.graph.op('Sample', [logits], 'tokens', {}, LORIKEET)
  }
}
