/** The places where an adapter can act, in graph order: their ids are what BatchedLora, ScaleInput and BatchedEmbedding carry. */
import type { AddedTokens, BaseModel, Site } from '../../adapters-store/types.ts'
import type { Architecture } from './architecture.ts'

export const EMBEDDING = 'model.embed_tokens'
export const HEAD = 'lm_head'

export const layerPath = (layer: number) => `model.layers.${layer}`

/** What the addon is told of the sites, as native/types.ts has it. */
export function siteOptions({ sites, added, hiddenSize }: BaseModel) {
  const all = added ? [...sites, added.table, added.head] : sites
  const shape = (site: Site) => [site.inFeatures, site.outFeatures, site.kind === 'embedding' ? 1 : 0]
  return {
    hiddenSize,
    siteCount: all.length,
    siteShapes: Int32Array.from(all.flatMap(shape)),
    maxSiteInputs: Math.max(...sites.map((site) => site.inFeatures)),
    headSite: sites.find((site) => site.module === HEAD)?.index ?? -1,
    addedTokens: added?.count ?? 0,
    addedHeadSite: added?.head.index ?? -1,
  }
}

/** The vocabulary with what may be added to it ends at a multiple of this, so that rows of logits lie aligned whatever the base's own is. */
const VOCABULARY_STEP = 64

/** Room for at least `wanted` tokens; none for 0, and none where the model has no head. */
export function addedTokens(sites: Site[], wanted: number): AddedTokens | undefined {
  const [table, head] = [EMBEDDING, HEAD].map((module) => sites.find((site) => site.module === module))
  if (wanted === 0 || !table || !head) return undefined
  const count = Math.ceil((table.inFeatures + wanted) / VOCABULARY_STEP) * VOCABULARY_STEP - table.inFeatures
  return {
    count,
    table: { ...table, index: sites.length, inFeatures: count },
    head: { ...head, index: sites.length + 1, outFeatures: count },
  }
}

/** `headless`: without the language-model head. */
export function sitesOf(a: Architecture, headless = false): Site[] {
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
  if (headless) return sites
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
