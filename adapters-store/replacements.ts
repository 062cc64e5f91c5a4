/**
 * What an adapter replaces instead of adding to, whatever its method: saved modules and copies of base weights, trained biases, trained tokens.
 * peft 0.21: utils/other.py (ModulesToSaveWrapper, TrainableTokensWrapper, set_additional_trainable_modules), utils/save_and_load.py
 * (save_embedding_layers, bias), tuners/trainable_tokens.
 */
import { AdapterError } from './errors.ts'
import { combinationRefused, type DenseRows, oneByOne, weightShape } from './fold.ts'
import { targetedSites } from './targets.ts'
import { BIASES, COPIES, type FoldContext, type SiteTensors, WEIGHTS } from './tensors.ts'
import type { BaseModel, Site } from './types.ts'

export interface Replacement {
  /** For errors: which parameter replaces something. */
  what: string
  dense?: DenseRows
  /** The file holds the whole weight; what is not among `dense` is as in the base, or zeros behind its rows. */
  whole?: true
  /** Takes the place of the base's bias. Shape [out]. */
  bias?: Float32Array
}

/** Whether a replacement holds rows of added tokens alone. */
export const onlyAdds = ({ dense }: Replacement, rows: number) => dense?.index?.every((row) => row >= rows) ?? false

/** The table and the head, of which a base that ties them has one tensor. */
interface Ties {
  table: Site
  head: Site
}

function tiesOf({ tiedEmbeddings, sites }: BaseModel): Ties | undefined {
  const table = sites.find((site) => site.kind === 'embedding')
  const head = sites.find((site) => site.kind === 'head')
  return tiedEmbeddings && table && head ? { table, head } : undefined
}

/** Throws for what the graph cannot replace. */
export function replacements(context: FoldContext): Map<Site, Replacement> {
  const ties = tiesOf(context.base.model)
  const found = new Map<Site, Replacement>()
  for (const tensors of context.tensors.sites) {
    const weight = weightReplacement(context, tensors)
    const bias = biasReplacement(tensors)
    if (weight || bias) found.set(tensors.site, { ...weight, what: weight?.what ?? 'bias', bias })
  }
  if (ties) spreadWeights(context, ties, found)
  for (const [site, tokens] of trainedTokens(context, ties)) {
    const other = found.get(site)
    if (!other?.dense) found.set(site, { ...other, ...tokens })
    else if (onlyAdds(other, ownRows(context, site)))
      found.set(site, { ...other, ...tokens, dense: overlaid(site, other.dense, tokens.dense) })
    else throw combinationRefused(site, other.what, tokens.what)
  }
  for (const [key, checkpoint] of context.tensors.others) requireUnchanged(context, key, checkpoint)
  return found
}

/** Rows that the base's own weight has: a resized one may have more. */
function ownRows({ base }: FoldContext, site: Site): number {
  return Math.min(weightShape(site).rows, base.rows(site.weight).rows)
}

/** As ΔW = new − base on the rows that differ. A mere copy changes nothing, but for the rows that it has behind the base's: those of added tokens. */
function weightReplacement(context: FoldContext, tensors: SiteTensors): Replacement | undefined {
  const own = ownRows(context, tensors.site)
  const adds = weightShape(tensors.site).rows > own
  for (const copy of COPIES) {
    const dense = changedRows(context, tensors, copy)
    if (dense && (dense.index?.[0] ?? 0) < own && dense.count > 0) throw changesBase(tensors.key(copy)!, tensors.site.weight)
    // What stands behind a wrapper of trained tokens is used where none of them is; behind a saved module it is not.
    if (dense && adds && copy === 'token_adapter.base_layer.weight') return { what: copy, dense, whole: true }
  }
  // With save_embedding_layers a saved module is there twice, as `modules_to_save.weight` and as `weight`.
  const [name, ...others] = WEIGHTS.filter((parameter) => tensors.has(parameter))
  if (!name) return undefined
  const dense = changedRows(context, tensors, name)!
  for (const other of others) tensors.takeCopy(other, tensors.key(name)!)
  return dense.count === 0 && !adds ? undefined : { what: name, dense, whole: true }
}

/** Rows of `over` where it has them, else those of `under`; each lists which they are. */
function overlaid(site: Site, under: DenseRows, over: DenseRows | undefined): DenseRows {
  if (!over) return under
  const places = new Map<number, [DenseRows, number]>()
  for (const one of [under, over]) for (const [j, row] of (one.index ?? []).entries()) places.set(row, [one, j])
  const index = Int32Array.from(places.keys()).sort()
  const rows = oneByOne(weightShape(site).width, (j, into) => {
    const [from, at] = places.get(index[j])!
    from.rows(at, into)
  })
  return { count: index.length, index, rows }
}

/** Floats of a whole table that are decoded at a time. */
const RUN_FLOATS = 1 << 18

/** Most rows of a table are the base's, bit for bit. */
function differ(one: Float32Array, other: Float32Array): boolean {
  const bytes = ({ buffer, byteOffset, byteLength }: Float32Array) => new Uint8Array(buffer, byteOffset, byteLength)
  return Buffer.compare(bytes(one), bytes(other)) !== 0 && one.some((value, i) => value !== other[i])
}

/** Undefined if the file does not hold it. */
function changedRows({ base }: FoldContext, tensors: SiteTensors, name: string): DenseRows | undefined {
  const { site, file } = tensors
  const { rows, width } = weightShape(site)
  const reference = tensors.reference(name, [rows, width])
  if (!reference) return undefined
  const key = tensors.key(name)!
  const weights = base.rows(site.weight)
  const changed: number[] = []
  const run = Math.max(1, Math.floor(RUN_FLOATS / width))
  for (let first = 0; first < rows; first += run) {
    const values = file.rows(key, reference, first, Math.min(run, rows - first))
    for (let at = 0; at < values.length; at += width)
      if (differ(values.subarray(at, at + width), weights.row(first + at / width))) changed.push(first + at / width)
  }
  return {
    count: changed.length,
    index: changed.length === rows ? undefined : Int32Array.from(changed),
    rows: oneByOne(width, (j, into) => {
      const o = changed[j]
      const original = weights.row(o)
      into.set(file.rows(key, reference, o, 1))
      for (let i = 0; i < width; i++) into[i] -= original[i]
    }),
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
 * Of tied weights, one that PEFT loads into the base itself changes both sides. A saved module is a copy of its own and leaves its twin alone, unless
 * ensure_weight_tying is set: then both are one module, whichever is named.
 */
function spreadWeights({ config, tensors }: FoldContext, { table, head }: Ties, found: Map<Site, Replacement>): void {
  const saved = config.names('modules_to_save')
  const tied = config.boolean('ensure_weight_tying')
  const keys = new Map<Site, string>()
  for (const one of tensors.sites) {
    const name = WEIGHTS.find((parameter) => one.has(parameter))
    const isCopy = saved.some((name) => one.site.module.endsWith(name))
    if (name && (tied || !isCopy)) keys.set(one.site, one.key(name)!)
  }
  const [ofTable, ofHead] = [keys.get(table), keys.get(head)]
  if (ofTable && ofHead) tensors.requireSame(ofHead, ofTable)
  for (const [from, to] of [
    [table, head],
    [head, table],
  ]) {
    const replacement = found.get(from)
    if (replacement?.dense && keys.has(from) && !found.has(to)) found.set(to, replacement)
  }
}

/** Trained tokens as the config has them. LoRA's option wraps the module, the method TRAINABLE_TOKENS takes its place. */
interface Tokens {
  parameter: string
  field: string
  bySite: Map<Site, unknown>
  /** The head has none of its own: it is tied to the table's. */
  headFollows: boolean
}

/**
 * Rows that the adapter replaces, of the embedding table, of the head or of any projection. They are saved as values, not differences; which tokens
 * they are is in the config only.
 */
function trainedTokens(context: FoldContext, ties: Ties | undefined): Map<Site, Replacement> {
  const isMethod = context.config.values.peft_type === 'TRAINABLE_TOKENS'
  const tokens = isMethod ? tokensOfMethod(context, ties) : tokensOfOption(context, ties)
  const { parameter, field, bySite, headFollows } = tokens
  const tensorsOf = new Map(context.tensors.sites.map((tensors) => [tensors.site, tensors]))
  const found = new Map<Site, Replacement>()
  if (ties && headFollows) {
    const [ofTable, ofHead] = [tensorsOf.get(ties.table), tensorsOf.get(ties.head)]
    if (ofTable?.has(parameter)) ofHead?.takeCopy(parameter, ofTable.key(parameter)!)
    // The two are one parameter, which the method saves under both names: either will do. Of the option, PEFT reads only the table's.
    else if (isMethod && ofHead) tensorsOf.set(ties.table, ofHead)
  }
  for (const [site, list] of bySite) {
    const rows = tokenRows(context, tensorsOf.get(site), site, tokens, list)
    if (rows) found.set(site, rows)
    if (rows && site === ties?.table && headFollows) found.set(ties.head, rows)
  }
  const named = (site: Site) => bySite.has(site) || (headFollows && site === ties?.head)
  const unnamed = context.tensors.sites.find((one) => one.has(parameter) && !named(one.site))
  if (unnamed) throw wrongTokens(context, field, unnamed.site)
  return found
}

/** tuners/trainable_tokens/model.py: a list for all target modules (the table, if none is named). A tied head follows the table wherever that is one. */
function tokensOfMethod({ config, base, tensors }: FoldContext, ties: Ties | undefined): Tokens {
  const { sites } = base.model
  const { target_modules: targets, token_indices: list } = config.values
  const parameter = 'trainable_tokens_delta'
  const readable = targetedSites(config, sites) ?? tensors.sites.filter((one) => one.has(parameter)).map(({ site }) => site)
  const wanted = targets === null || targets === undefined ? sites.filter(({ kind }) => kind === 'embedding') : readable
  const headFollows = ties !== undefined && wanted.includes(ties.table)
  const own = wanted.filter((site) => !(headFollows && site === ties.head))
  return { parameter, field: 'token_indices', bySite: new Map(own.map((site) => [site, list])), headFollows }
}

/**
 * utils/other.py, set_additional_trainable_modules: a list for the table, or an object of lists by the end of the module's name. Of a tied base the
 * head follows the table, never the other way round: tokens of the head alone leave the table as it is, with ensure_weight_tying or without. Where both
 * are named with other tokens (or the same in another order), each has its own.
 */
function tokensOfOption({ config, base }: FoldContext, ties: Ties | undefined): Tokens {
  const field = 'trainable_token_indices'
  const bySite = new Map<Site, unknown>()
  const keys = new Map<Site, string>()
  const value = config.values[field] ?? {}
  const table = base.model.sites.find(({ kind }) => kind === 'embedding')
  const named = typeof value === 'object' && !Array.isArray(value) ? value : { [table?.module ?? '']: value }
  for (const [key, list] of Object.entries(named)) {
    const sites = base.model.sites.filter(({ module }) => module.endsWith(key))
    if (sites.length === 0)
      throw new AdapterError(
        'adapter_base_mismatch',
        `${config.file}: ${field} names ${key}, which the base model ${base.model.name} does not have or cannot adapt`,
      )
    for (const site of sites) {
      if (bySite.has(site)) continue
      bySite.set(site, list)
      keys.set(site, key)
    }
  }
  let headFollows = ties !== undefined && bySite.has(ties.table)
  if (ties && headFollows && bySite.has(ties.head)) {
    const same = JSON.stringify(bySite.get(ties.table)) === JSON.stringify(bySite.get(ties.head))
    if (!same && config.boolean('ensure_weight_tying'))
      throw new AdapterError(
        'adapter_config_invalid',
        `${config.file}: ${field} has other tokens for ${ties.table.module} than for ${ties.head.module}, but ensure_weight_tying ties them; give both the same, in the same order, or only the first`,
      )
    // PEFT leaves the head's own out only where it is called by its full name.
    headFollows = same && keys.get(ties.head) === ties.head.module
    if (headFollows) bySite.delete(ties.head)
  }
  return { parameter: 'token_adapter.trainable_tokens_delta', field, bySite, headFollows }
}

function tokenRows(
  context: FoldContext,
  tensors: SiteTensors | undefined,
  site: Site,
  { parameter, field }: Tokens,
  list: unknown,
): Replacement | undefined {
  const { rows, width } = weightShape(site)
  const tokens = Array.isArray(list) ? (list as number[]) : undefined
  const valid = tokens?.every((token) => Number.isInteger(token) && token >= 0 && token < rows)
  if (!tokens || !valid || new Set(tokens).size !== tokens.length) throw wrongTokens(context, field, site)
  if (!tensors?.has(parameter))
    throw context.tensors.invalid(
      `it lacks ${site.module}.${parameter}, the trained tokens that ${field} of adapter_config.json names`,
    )
  const replaced = tensors.take(parameter, [tokens.length, width]).data
  if (tokens.length === 0) return undefined
  const order = tokens.map((_, k) => k).sort((x, y) => tokens[x] - tokens[y])
  const weights = context.base.rows(site.weight)
  return {
    what: parameter,
    // PEFT computes such a projection from the rows alone (TrainableTokensLayer.forward_adapters), without the base's bias.
    bias: site.bias === undefined ? undefined : new Float32Array(site.outFeatures),
    dense: {
      count: tokens.length,
      index: Int32Array.from(order, (k) => tokens[k]),
      rows: oneByOne(width, (j, into) => {
        const k = order[j]
        const original = weights.row(tokens[k])
        for (let i = 0; i < width; i++) into[i] = replaced[k * width + i] - original[i]
      }),
    },
  }
}

function wrongTokens({ config }: FoldContext, field: string, site: Site): AdapterError {
  return new AdapterError(
    'adapter_config_invalid',
    `${config.file}: ${field} must list each trained token of ${site.module} once, below ${weightShape(site).rows}`,
  )
}

/** The graph adapts projections, the table and the head; the rest (norms) may be in the file only as it is in the base. */
function requireUnchanged({ base, tensors }: FoldContext, key: string, checkpoint: string): void {
  const shape = base.model.tensors[checkpoint].shape
  const reference = tensors.take(key, shape, checkpoint)
  const weights = base.rows(checkpoint)
  for (let o = 0; o < weights.rows; o++) {
    const copy = weights.rows === 1 ? tensors.decode(key, reference).data : tensors.rows(key, reference, o, 1)
    const original = weights.row(o)
    if (copy.some((value, i) => value !== original[i])) throw changesBase(key, checkpoint)
  }
}

function changesBase(key: string, checkpoint: string): AdapterError {
  return new AdapterError(
    'adapter_option_unsupported',
    `${key} changes ${checkpoint}; adapters can change projections, the embedding table and the head, not this`,
  )
}
