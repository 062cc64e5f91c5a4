/**
 * What an adapter replaces instead of adding to, whatever its method: saved modules and copies of base weights, trained biases, trained tokens.
 * peft 0.21: utils/other.py (ModulesToSaveWrapper, TrainableTokensWrapper), utils/save_and_load.py (save_embedding_layers, bias).
 */
import { AdapterError } from './errors.ts'
import { type DenseRows, oneByOne, weightShape } from './fold.ts'
import type { FoldContext } from './methods/method.ts'
import type { SiteTensors } from './tensors.ts'
import { trainedTokens } from './trained-tokens.ts'
import type { Site } from './types.ts'

export interface Replacement {
  /** For errors: which parameter replaces something. */
  what: string
  dense?: DenseRows
  /** Takes the place of the base's bias. Shape [out]. */
  bias?: Float32Array
}

/** Throws for what the graph cannot replace. */
export function replacements(context: FoldContext): Map<Site, Replacement> {
  const found = new Map<Site, Replacement>()
  for (const tensors of context.tensors.sites) {
    const replacement = weightReplacement(context, tensors) ?? trainedTokens(context, tensors)
    const bias = biasReplacement(tensors)
    if (replacement || bias) found.set(tensors.site, { what: replacement?.what ?? 'bias', dense: replacement?.dense, bias })
  }
  spreadOverTies(context, found)
  for (const [key, checkpoint] of context.tensors.others) requireUnchanged(context, key, checkpoint)
  return found
}

const WEIGHTS = ['weight', 'base_layer.weight', 'modules_to_save.weight']
const BIASES = ['bias', 'base_layer.bias', 'modules_to_save.bias']

/** A whole weight: as ΔW = new − base on the rows that differ. A mere copy (save_embedding_layers) changes nothing. */
function weightReplacement({ base }: FoldContext, tensors: SiteTensors): Replacement | undefined {
  const { site, file } = tensors
  const name = WEIGHTS.find((parameter) => tensors.has(parameter))
  if (!name) return undefined
  const { rows, width } = weightShape(site)
  const key = tensors.key(name)!
  const reference = tensors.reference(name, [rows, width])!
  const weights = base.rows(site.weight)
  const changed: number[] = []
  for (let o = 0; o < rows; o++) {
    const replaced = file.rows(key, reference, o, 1)
    const original = weights.row(o)
    if (replaced.some((value, i) => value !== original[i])) changed.push(o)
  }
  if (changed.length === 0) return undefined
  const index = changed.length === rows ? undefined : Int32Array.from(changed)
  return {
    what: name,
    dense: {
      count: changed.length,
      index,
      rows: oneByOne(width, (j, into) => {
        const o = changed[j]
        const original = weights.row(o)
        into.set(file.rows(key, reference, o, 1))
        for (let i = 0; i < width; i++) into[i] -= original[i]
      }),
    },
  }
}

function biasReplacement(tensors: SiteTensors): Float32Array | undefined {
  const { site } = tensors
  const name = BIASES.find((parameter) => tensors.has(parameter))
  if (!name) return undefined
  if (site.bias === undefined) {
    throw new AdapterError(
      'adapter_base_mismatch',
      `${tensors.key(name)} replaces a bias, but ${site.module} of this base model has none`,
    )
  }
  return tensors.take(name, [site.outFeatures]).data
}

/**
 * With tied embeddings the head is the table. PEFT keeps them together for trained tokens, for weights that it loads into the base itself, and for
 * saved modules when ensure_weight_tying is set; a saved module is a copy otherwise and leaves its twin alone.
 */
function spreadOverTies({ base, config }: FoldContext, found: Map<Site, Replacement>): void {
  if (!base.model.tiedEmbeddings) return
  const table = base.model.sites.find((site) => site.kind === 'embedding')
  const head = base.model.sites.find((site) => site.kind === 'head')
  if (!table || !head) return
  const saved = config.names('modules_to_save')
  const tied = config.values.ensure_weight_tying === true
  for (const [from, to] of [
    [table, head],
    [head, table],
  ]) {
    const replacement = found.get(from)
    if (!replacement?.dense || found.has(to)) continue
    const isCopy = saved.some((name) => from.module === name || from.module.endsWith(`.${name}`))
    if (!isCopy || tied) found.set(to, replacement)
  }
}

/** The graph adapts projections, the table and the head; the rest (norms) may be in the file only as it is in the base. */
function requireUnchanged({ base, tensors }: FoldContext, key: string, checkpoint: string): void {
  const shape = base.model.tensors[checkpoint].shape
  const reference = tensors.take(key, shape, checkpoint)
  const weights = base.rows(checkpoint)
  for (let o = 0; o < weights.rows; o++) {
    const copy = weights.rows === 1 ? tensors.decode(key, reference).data : tensors.rows(key, reference, o, 1)
    const original = weights.row(o)
    if (copy.some((value, i) => value !== original[i])) {
      throw new AdapterError(
        'adapter_option_unsupported',
        `${key} changes ${checkpoint}; adapters can change projections, the embedding table and the head, not this`,
      )
    }
  }
}
