/**
 * Whether an adapter leaves every K and V as the base computes them. Those of a layer come of the embedding table and of all that the layers before it do, through k_proj and
 * v_proj; so what may be adapted is what no K and V come after: in the last layer the query, the attention's output and the feed-forward, and the head.
 */
import type { BaseModel, Site } from './types.ts'

/** Modules of the last layer whose output goes into K or V; qkv_proj makes all three at once. */
const CACHED = /\.(k_proj|v_proj|qkv_proj)$/

/** `sites`: all that the adapter changes, those of added tokens included. */
export function sparesCache(sites: Iterable<Site>, { layers }: BaseModel): boolean {
  const last = `model.layers.${layers - 1}.`
  for (const { kind, module } of sites)
    if (kind === 'embedding' || (kind === 'linear' && !(module.startsWith(last) && !CACHED.test(module)))) return false
  return true
}
