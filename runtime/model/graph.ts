/** The graph of docs/graph.md: the block vocabulary that every family is built from. What differs between devices is in devices/. */
import type { AddedTokens, BaseModel, Site } from '../../adapters-store/types.ts'
import type { Architecture, Layer } from './architecture.ts'
import type { Device, NormBy, Product, Rows } from './devices/device.ts'
import type { OnnxGraph } from './onnx.ts'
import { EMBEDDING, HEAD, layerPath } from './sites.ts'
import type { Weight } from './weights.ts'

/** The residual stream: a tensor, and what the last block adds to it; the sum, named `sum`, is made where it is read, together with a norm where there is one. */
interface Stream {
  x: string
  added?: { y: string; sum: string }
}

export function buildGraph(a: Architecture, base: Pick<BaseModel, 'sites' | 'added'>, device: Device): Uint8Array {
  return new GraphBuilder(a, base, device).build()
}

class GraphBuilder {
  private readonly a: Architecture
  private readonly sites: Map<string, Site>
  private readonly device: Device
  private readonly graph: OnnxGraph
  private readonly added: AddedTokens | undefined

  constructor(a: Architecture, { sites, added }: Pick<BaseModel, 'sites' | 'added'>, device: Device) {
    this.a = a
    this.sites = new Map(sites.map((site) => [site.module, site]))
    this.added = added
    this.device = device
    this.graph = device.graph
  }

  build(): Uint8Array {
    this.device.inputs(this.a.layers.length, this.a.kvHeads, this.a.headDim)
    let stream: Stream = { x: this.embedding() }
    this.a.layers.forEach((layer, i) => {
      stream = this.layer(stream, layer, i)
    })
    const x = this.sum(stream)
    const norm = this.normWeight('model.norm', this.a.hiddenSize)
    this.hiddenStates(x, norm)
    if (this.sites.has(HEAD)) {
      this.head(x, norm)
      this.graph.output('tokens', 'int32', ['R'])
    }
    return this.graph.serialize()
  }

  private site(module: string): Site {
    return this.sites.get(module) as Site
  }

  private normWeight(module: string, size: number): string {
    return this.device.normWeight(`${module}.weight`, size, this.a.normOffset)
  }

  private normBy(weight: string, width: number, rows: Rows = 'T'): NormBy {
    return { weight, width, epsilon: this.a.normEpsilon, rows }
  }

  /** RMS norm over the last dimension, `size` wide. */
  private norm(x: string, module: string, size = this.a.hiddenSize): string {
    return this.device.norm(x, this.normBy(this.normWeight(module, size), size), `${module}.out`)
  }

  private sum({ x, added }: Stream): string {
    return added ? this.graph.op('Add', [x, added.y], added.sum) : x
  }

  /** The stream, and its norm by `module`. */
  private normed({ x, added }: Stream, module: string): { sum: string; normed: string } {
    if (!added) return { sum: x, normed: this.norm(x, module) }
    const by = this.normBy(this.normWeight(module, this.a.hiddenSize), this.a.hiddenSize)
    return this.device.addNorm(x, added.y, by, added.sum, `${module}.out`)
  }

  /** The base's product of a projection, or of several side by side: `name` is then the module that they would be together. Without adapters. */
  private product(group: Site[], name: string): Product {
    const weightOf = (kind: 'weight' | 'bias', shape: (site: Site) => number[]): Weight => {
      const parts = group.map((site) => ({ name: site[kind] as string, shape: shape(site) }))
      return { name: parts.length > 1 ? `${name}.${kind}` : parts[0].name, parts }
    }
    return {
      kind: group[0].kind === 'head' ? 'head' : 'linear',
      weight: weightOf('weight', (site) => [site.outFeatures, site.inFeatures]),
      bias: group[0].bias ? weightOf('bias', (site) => [site.outFeatures]) : undefined,
      output: `${name}.base`,
    }
  }

  /**
   * Projections that share their input, with every adapter's delta: one op for the group. `rows` is the name of their number of rows. An output for each; with
   * `together`, the name of the module that they would be, one that holds them side by side where the device joins their products.
   */
  private projections(input: string, modules: string[], { rows = 'T' as Rows, together = '' } = {}): string[] {
    const { dtype } = this.device.setup
    const group = modules.map((module) => this.site(module))
    let x = input
    if (group[0].takesInputScale) {
      const scaled = `${modules[0]}.in`
      this.device.adapterOp('ScaleInput', [x], [], [scaled], { site: { int: group[0].index } }, rows)
      x = this.graph.shape(scaled, dtype, [rows, group[0].inFeatures])
    }
    const widths = group.map((site) => site.outFeatures)
    const output = (name: string, width: number) => this.graph.shape(`${name}.out`, dtype, [rows, width])
    const joined = together && this.device.joins(group)
    const wanted = joined ? [this.product(group, together)] : group.map((site) => this.product([site], site.module))
    const products = this.device.products(x, wanted, rows)
    const outputs = joined
      ? [
          output(
            together,
            widths.reduce((sum, width) => sum + width),
          ),
        ]
      : group.map((site) => output(site.module, site.outFeatures))
    const attributes = { sites: { ints: group.map((site) => site.index) }, widths: { ints: widths } }
    return this.device.adapterOp('BatchedLora', [x], products, outputs, attributes, rows)
  }

  /** The table's weight or the head's, which are one where they are tied. */
  private vocabularyWeight({ weight }: Site): Weight {
    const parts = [{ name: weight, shape: [this.a.vocabSize, this.a.hiddenSize] }]
    return { name: weight, parts, zeroRows: this.added && this.device.addedRows(this.added.count) }
  }

  private embedding(): string {
    const site = this.site(EMBEDDING)
    const tied = this.sites.get(HEAD)?.weight === site.weight
    const rows = this.device.embeddingRows(this.vocabularyWeight(site), tied)
    const x = 'embedding.out'
    const sites = [site.index, ...(this.added ? [this.added.table.index] : [])]
    this.device.adapterOp('BatchedEmbedding', ['input_ids'], [rows], [x], { sites: { ints: sites } }, 'T')
    this.graph.shape(x, this.device.setup.dtype, ['T', this.a.hiddenSize])
    return this.device.scaled(x, this.a.embeddingScale, 'embedding.scaled')
  }

  private layer(stream: Stream, layer: Layer, i: number): Stream {
    const { norms } = this.a
    const path = layerPath(i)
    const block = (
      input: Stream,
      before: string | undefined,
      after: string | undefined,
      name: string,
      body: (x: string) => string,
    ): Stream => {
      const { sum, normed } = before ? this.normed(input, `${path}.${before}`) : unnormed(this.sum(input))
      let y = body(normed)
      if (after) y = this.norm(y, `${path}.${after}`)
      y = this.device.scaled(y, this.a.residualScale, `${path}.${name}.scaled`)
      return { x: sum, added: { y, sum: `${path}.${name}.residual` } }
    }
    const attended = block(stream, norms.beforeAttention, norms.afterAttention, 'self_attn', (y) => this.attention(y, layer, i))
    return block(attended, norms.beforeMlp, norms.afterMlp, 'mlp', (y) => this.mlp(y, `${path}.mlp`))
  }

  private attention(x: string, layer: Layer, i: number): string {
    const { a } = this
    const path = `${layerPath(i)}.self_attn`
    const sizes = [a.heads * a.headDim, a.kvHeads * a.headDim, a.kvHeads * a.headDim]
    let [q, k, v] = a.fused
      ? this.device.unpacked(this.projections(x, [`${path}.qkv_proj`])[0], sizes, path)
      : this.projections(x, [`${path}.q_proj`, `${path}.k_proj`, `${path}.v_proj`], {
          together: a.qkNorm === 'projection' ? undefined : `${path}.qkv_proj`,
        })
    if (a.qkNorm === 'projection') {
      q = this.norm(q, `${path}.q_norm`, sizes[0])
      k = this.norm(k as string, `${path}.k_norm`, sizes[1])
    }
    const attended = this.device.attention(
      {
        layer: i,
        path,
        heads: a.heads,
        kvHeads: a.kvHeads,
        headDim: a.headDim,
        scale: a.attentionScale,
        softcap: a.attentionSoftcap,
        window: layer.window,
        rope: layer.rope,
        headNorms:
          a.qkNorm === 'head'
            ? [this.normWeight(`${path}.q_norm`, a.headDim), this.normWeight(`${path}.k_norm`, a.headDim)]
            : undefined,
        normEpsilon: a.normEpsilon,
      },
      q,
      k,
      v,
    )
    return this.projections(attended, [`${path}.o_proj`])[0]
  }

  private mlp(x: string, path: string): string {
    const together = `${path}.gate_up_proj`
    const inputs = this.a.fused
      ? this.projections(x, [together])
      : this.projections(x, [`${path}.gate_proj`, `${path}.up_proj`], { together })
    const activation = { activation: { string: this.a.activation } }
    const gated = this.graph.op('GatedActivation', inputs, `${path}.gated`, activation, 'lorikeet')
    this.graph.shape(gated, this.device.setup.dtype, ['T', this.a.intermediateSize])
    return this.projections(gated, [`${path}.down_proj`])[0]
  }

  /** Sums of the final hidden states, of whichever tokens a step wants them: they do not leave through the graph's output, which says nothing. */
  private hiddenStates(x: string, norm: string): void {
    this.graph.op('SumRows', [x, norm], 'summed', { epsilon: { float: this.a.normEpsilon } }, 'lorikeet')
    this.graph.output('summed', 'int32', [1])
  }

  /** Logits of the wanted rows, and what is sampled from them: the logits themselves never leave the graph. */
  private head(x: string, norm: string): void {
    const rows = this.graph.op('Gather', [x, 'logits_indices'], 'head.rows')
    const normed = this.device.norm(rows, this.normBy(norm, this.a.hiddenSize, 'R'), 'model.norm.out')
    const logits = this.added ? this.logits(normed, this.added) : this.projections(normed, [HEAD], { rows: 'R' })
    const shown = logits.map((one, i) => {
      const prefix = i === 0 ? 'head' : 'head.added'
      const scaled = this.device.scaled(one, this.a.logitsScale, `${prefix}.scaled`)
      return this.device.softcapped(scaled, this.a.logitsSoftcap, prefix)
    })
    this.graph.op('Sample', shown, 'tokens', {}, 'lorikeet')
  }

  private logits(x: string, added: AddedTokens): string[] {
    const head = this.site(HEAD)
    const weight = this.vocabularyWeight(head)
    const [product] = this.device.products(x, [{ kind: 'head', weight, output: `${head.module}.base` }], 'R')
    return this.device.logits(x, product, head, added).filter((one) => one !== undefined)
  }
}

const unnormed = (x: string) => ({ sum: x, normed: x })
