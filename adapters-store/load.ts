/** From a PEFT folder to an AdapterImage: read, check, fold every site, pack. */
import { invocationTokens } from './activated.ts'
import { BaseWeights } from './base.ts'
import { classifierOf } from './classifier.ts'
import { requireComplete } from './complete.ts'
import { ConfigReader, checkConfig } from './config.ts'
import { AdapterError } from './errors.ts'
import { AdapterFolder, FileMemory } from './files.ts'
import { combinationRefused, type Fold, type SiteFold, weightShape } from './fold.ts'
import { CONFIG_FILE, WEIGHTS_FILE } from './folders.ts'
import { withLabels } from './labels.ts'
import { methodOf } from './methods/index.ts'
import type { Method } from './methods/method.ts'
import { pack } from './pack.ts'
import { digestInOrder, inRankOrder } from './rank-order.ts'
import { onlyAdds, type Replacement, replacements } from './replacements.ts'
import { placedFolds, requireAddedRows, requirePlain, resizedBase, vocabularyOf } from './resized.ts'
import { sparesCache } from './spares-cache.ts'
import { AdapterTensors, type FoldContext } from './tensors.ts'
import { withText } from './text/image.ts'
import type { TextKnowledge } from './text/read.ts'
import type { AdapterImage, BaseModel, LoadOptions, Site, TensorRef } from './types.ts'

/**
 * Reads `directory` (to `memory`: the same for many loads saves time; so do the same `texts`) and folds it for `base`. Symbolic links lead only where `root` allows (links.ts).
 * Synchronous: AdapterStore runs it in a thread of its own. Throws AdapterError for everything that would give wrong answers; the message names the file, key or module and what would be right.
 */
export function loadAdapter(
  name: string,
  directory: string,
  base: BaseModel,
  options: LoadOptions,
  memory = new FileMemory(),
  root = directory,
  texts?: TextKnowledge,
): AdapterImage {
  const { folder, method, byKeys } = openAdapter(directory, base, root)
  const { checked, bytes, digest } = folder.readWeights(memory, byKeys)
  checked.context.tensors.bytes = bytes
  const { folds, order, said } = foldedBy(method, checked, base, options)
  const image = {
    name,
    digest: digestInOrder(digest, order),
    dtype: options.dtype,
    blockBytes: options.blockBytes,
    ...pack(folds, options),
    ...said,
  }
  return withText(withLabels(image, folder), folder, base, options, texts)
}

/** Of an adapter's header: what it is folded from, and how many tokens it has. */
export interface ByKeys {
  vocabSize: number
  context: FoldContext
}

/** Its folder and method; `byKeys` makes of the header what can be told without a value. Throws AdapterError. */
export function openAdapter(
  directory: string,
  base: BaseModel,
  root: string,
): { folder: AdapterFolder; method: Method; byKeys: (found: Map<string, TensorRef>) => ByKeys } {
  const folder = new AdapterFolder(directory, root)
  const method = methodOf(CONFIG_FILE, folder.config.peft_type)
  checkConfig(CONFIG_FILE, folder.config, method.config)
  const config = new ConfigReader(
    CONFIG_FILE,
    folder.config,
    base.sites.map((site) => site.module),
  )
  // An adapter for another base is known by its keys alone.
  const byKeys = (found: Map<string, TensorRef>) => {
    const vocabSize = vocabularyOf(WEIGHTS_FILE, found, folder.config, base)
    const weights = new BaseWeights(resizedBase(base, vocabSize))
    return { vocabSize, context: { config, tensors: new AdapterTensors(WEIGHTS_FILE, found, weights), base: weights } }
  }
  return { folder, method, byKeys }
}

/** Every site folded, and what an image says beside what is packed. Throws AdapterError. */
export function foldedBy(method: Method, { vocabSize, context }: ByKeys, base: BaseModel, options: LoadOptions) {
  const { tensors } = context
  const classifier = classifierOf(context)
  const { folds: own, invocation } = foldSites(method, context, base, classifier.head !== undefined)
  const { folds, order, warning } = inRankOrder(own, options)
  const sites = folds.map(({ site }) => site)
  const said = {
    method: method.label?.(context.config) ?? method.peftType.toLowerCase(),
    ...classifier,
    ...(invocation && { invocationTokens: invocation }),
    ...(sites.length > 0 && vocabSize === base.vocabSize && sparesCache(sites, base) && { sparesCache: true as const }),
    ...(vocabSize !== base.vocabSize && { vocabSize }),
    warnings: warning === undefined ? tensors.warnings : [...tensors.warnings, warning],
  }
  return { folds, order, said }
}

/** `original`: the base as it is; the context's has the adapter's vocabulary. `hasHead`: the file holds a classifier. */
function foldSites(
  method: Method,
  context: FoldContext,
  original: BaseModel,
  hasHead: boolean,
): { folds: SiteFold[]; invocation: number[] | undefined } {
  const { tensors, base } = context
  const replaced = replacements(context)
  const foldSite = method.prepare(context)
  const isPlainLora = method.peftType === 'LORA' && !['use_dora', 'lora_bias'].some((option) => context.config.boolean(option))
  const folds = new Map<Site, Fold>()
  for (const site of tensors.sites) {
    if (!site.has(...method.parameters)) continue
    if (!method.sites.includes(site.site.kind)) {
      throw new AdapterError(
        'adapter_option_unsupported',
        `${site.site.module}: ${method.peftType} of ${article(site.site.kind)} is not supported; on ${method.sites.join(' and ')} modules it is`,
      )
    }
    requirePlain(site.site, original, isPlainLora)
    folds.set(site.site, foldSite(site))
  }
  tensors.requireAllTaken(method.peftType)
  requireComplete(method, context, folds, replaced, hasHead)
  requireAddedRows(tensors.file, original, base.model, replaced)
  const invocation = invocationTokens(context, original, folds.keys(), replaced)
  const placed = base.model.sites
    .filter((site) => folds.has(site) || replaced.has(site))
    .flatMap((site) => placedFolds(combine(site, folds.get(site) ?? {}, replaced.get(site), base, original), original))
  return { folds: placed, invocation }
}

function article(kind: Site['kind']): string {
  return kind === 'embedding' ? 'an embedding table' : `a ${kind} module`
}

/** One site's fold and replacement as one delta; the bias that the adapter wants becomes a difference to what the graph's base product holds. */
function combine(site: Site, fold: Fold, replacement: Replacement | undefined, base: BaseWeights, original: BaseModel): SiteFold {
  const adapted = fold.factors || fold.dense || fold.outScale || fold.inScale
  // Rows of added tokens are the ground on which the adapter acts; others would be.
  const rows = weightShape(original.sites[site.index]).rows
  if (replacement?.dense && adapted && (fold.dense || !onlyAdds(replacement, rows)))
    throw combinationRefused(site, 'an adapter', replacement.what)
  const bias = biasOf(site, fold, replacement?.bias, base)
  return { ...fold, dense: replacement?.dense ?? fold.dense, site, bias }
}

/**
 * The graph computes s ⊙ (W x + b0 + …) + bias. With the base's bias b0, its replacement b (b0 if none) and the method's own term c:
 * the bias outside the scale (DoRA, none): b + c − s ⊙ b0; inside (IA3): s ⊙ (b − b0) + c.
 */
function biasOf(site: Site, fold: Fold, replaced: Float32Array | undefined, base: BaseWeights): Float32Array | undefined {
  const original = base.bias(site)
  const scale = fold.outScale
  if (!original || (!replaced && (!scale || fold.scalesBias))) return fold.bias
  const wanted = replaced ?? original
  const bias = Float32Array.from(original, (b0, o) => {
    const s = scale ? scale[o] : 1
    const own = fold.bias ? fold.bias[o] : 0
    return own + (fold.scalesBias ? s * (wanted[o] - b0) : wanted[o] - s * b0)
  })
  return bias.some((value) => value !== 0) ? bias : undefined
}
