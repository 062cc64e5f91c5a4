/** The places where an adapter can act, in graph order: their ids are what BatchedLora, ScaleInput and BatchedEmbedding carry. */
import type { Site } from '../../adapters-store/types.ts'
import type { Architecture } from './architecture.ts'

export const EMBEDDING = 'model.embed_tokens'
export const HEAD = 'lm_head'

export const layerPath = (layer: number) => `model.layers.${layer}`

/** As native/types.ts's siteShapes. */
export const siteShapesOf = (sites: Site[]): Int32Array =>
  Int32Array.from(sites.flatMap((site) => [site.inFeatures, site.outFeatures, site.kind === 'embedding' ? 1 : 0]))

export function sitesOf(a: Architecture): Site[] {
  const sites: Site[] = []
  const add = (site: Omit<Site, 'index' | 'weight'> & { weight?: string }) =>
    sites.push({ index: sites.length, weight: `${site.module}.weight`, ...site } as Site)
  const linear = (module: string, inFeatures: number, outFeatures: number, bias: boolean, takesInputScale: boolean) =>
    add({ module, kind: 'linear', inFeatures, outFeatures, takesInputScale, ...(bias && { bias: `${module}.bias` }) })
  const q = a.heads * a.headDim
  const kv = a.kvHeads * a.headDim
  add({ module: EMBEDDING, kind: 'embedding', inFeatures: a.vocabSize, outFeatures: a.hiddenSize, takesInputScale: false })
  for (let i = 0; i < a.layers.length; i++) {
    const attention = `${layerPath(i)}.self_attn`
    const mlp = `${layerPath(i)}.mlp`
    if (a.fused) {
      linear(`${attention}.qkv_proj`, a.hiddenSize, q + 2 * kv, a.bias.qkv, true)
    } else {
      linear(`${attention}.q_proj`, a.hiddenSize, q, a.bias.qkv, false)
      linear(`${attention}.k_proj`, a.hiddenSize, kv, a.bias.qkv, false)
      linear(`${attention}.v_proj`, a.hiddenSize, kv, a.bias.qkv, false)
    }
    linear(`${attention}.o_proj`, q, a.hiddenSize, a.bias.o, true)
    if (a.fused) {
      linear(`${mlp}.gate_up_proj`, a.hiddenSize, 2 * a.intermediateSize, a.bias.mlp, true)
    } else {
      linear(`${mlp}.gate_proj`, a.hiddenSize, a.intermediateSize, a.bias.mlp, false)
      linear(`${mlp}.up_proj`, a.hiddenSize, a.intermediateSize, a.bias.mlp, false)
    }
    linear(`${mlp}.down_proj`, a.intermediateSize, a.hiddenSize, a.bias.mlp, true)
  }
  add({
    module: HEAD,
    kind: 'head',
    inFeatures: a.hiddenSize,
    outFeatures: a.vocabSize,
    takesInputScale: false,
    weight: `${a.tiedEmbeddings ? EMBEDDING : HEAD}.weight`,
  })
  return sites
}
