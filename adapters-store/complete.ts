/**
 * Whether the file holds what the config says. A save under ZeRO-3 or FSDP that does not gather its shards leaves files that lack tensors, and an
 * adapter without its tensors would answer as the base does. PEFT raises KeyError for a saved module or trained tokens that are missing, and warns of
 * the method's own ("Found missing adapter keys"), which then add nothing: peft 0.21, peft_model.py, from_pretrained.
 */
import type { Fold } from './fold.ts'
import { targetedSites } from './targets.ts'
import { BIASES, type FoldContext, WEIGHTS } from './tensors.ts'
import type { Site } from './types.ts'

const GATHER = 'a save under ZeRO-3 or FSDP that does not gather the shards leaves such a file: save it again, gathered'
/** Of missing modules as many are named. */
const SHOWN = 3

/** What a method's file should hold (methods/method.ts). */
interface Expected {
  peftType: string
  parameters: string[]
  sites: Site['kind'][]
}

/**
 * Throws AdapterError for an adapter that adapts nothing, that has none of its method's tensors, or that lacks a saved module. Notes a warning where
 * some modules have the method's tensors and others, which the config names as well, have none: such files are also written on purpose (by converters
 * from MLX, which trains the last layers only), and PEFT serves them.
 */
export function requireComplete(
  method: Expected,
  context: FoldContext,
  folds: Map<Site, Fold>,
  replaced: Map<Site, unknown>,
  hasHead = false,
): void {
  const { config, base, tensors } = context
  requireSavedModules(context)
  const targets = targetedSites(config, base.model.sites)?.filter(({ kind }) => method.sites.includes(kind))
  const adapts = [...folds.values()].some(isSomething)
  if (!adapts && replaced.size === 0 && !hasHead) throw tensors.invalid(`it holds no tensors that adapt anything; ${GATHER}`)
  if (method.parameters.length === 0) return
  if (folds.size === 0 && (targets === undefined || targets.length > 0))
    throw tensors.invalid(
      `it holds no tensor of ${method.peftType} (${method.parameters.join(', ')}), though adapter_config.json says that it adapts ${namesOf(targets ?? [])}; ${GATHER}`,
    )
  requireTied(context, folds)
  const missing = (targets ?? []).filter((site) => !folds.has(site))
  if (missing.length === 0 || targets === undefined) return
  tensors.warnings.push(
    `${tensors.file} has tensors for ${targets.length - missing.length} of the ${targets.length} modules that target_modules names; ${namesOf(missing)} stay as in the base, as in PEFT`,
  )
}

/** AdaLoRA's modules of rank 0 and empty lists of tokens are there and do nothing. */
function isSomething({ factors, dense, outScale, inScale, bias }: Fold): boolean {
  return (
    (factors?.rank ?? 0) > 0 || (dense?.count ?? 0) > 0 || outScale !== undefined || inScale !== undefined || bias !== undefined
  )
}

function namesOf(sites: Site[]): string {
  const shown = sites.slice(0, SHOWN).map(({ module }) => module)
  if (shown.length === 0) return 'its modules'
  return shown.join(', ') + (sites.length > SHOWN ? ` and ${sites.length - SHOWN} more` : '')
}

/**
 * Every weight and bias in every module that modules_to_save names by the end of its name, a module that holds others (`mlp`) too: those of sites, and the norms,
 * which the file must hold as they are in the base.
 */
function requireSavedModules({ config, base, tensors }: FoldContext): void {
  const there = new Set(tensors.others.values())
  for (const parameter of tensors.head.keys()) there.add(`score.${parameter}`)
  for (const one of tensors.sites) {
    if (one.has(...WEIGHTS)) there.add(`${one.site.module}.weight`)
    if (one.site.bias !== undefined && one.has(...BIASES)) there.add(one.site.bias)
  }
  const parameters = new Set(Object.keys(base.model.tensors).filter((name) => /\.(weight|bias)$/.test(name)))
  for (const { module } of base.model.sites) parameters.add(`${module}.weight`)
  for (const name of config.names('modules_to_save')) {
    if (name === '') continue
    for (const parameter of parameters)
      if (!there.has(parameter) && modulesAround(parameter).some((module) => module.endsWith(name)))
        throw tensors.invalid(`it lacks ${parameter}, which modules_to_save names (${name}); ${GATHER}`)
  }
}

/** model.layers.0.mlp.up_proj.weight → model, model.layers, …, model.layers.0.mlp.up_proj. */
function modulesAround(parameter: string): string[] {
  const parts = parameter.split('.')
  return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join('.'))
}

/** With ensure_weight_tying, LoRA of the table and of a tied head are one parameter that PEFT saves under two names. Each is applied as it stands. */
function requireTied({ config, base, tensors }: FoldContext, folds: Map<Site, Fold>): void {
  if (!config.boolean('ensure_weight_tying') || !base.model.tiedEmbeddings) return
  const twins = base.model.sites.filter(({ kind }) => kind !== 'linear')
  const lacking = twins.find((site) => !folds.has(site))
  if (lacking && twins.some((site) => folds.has(site)))
    throw tensors.invalid(`it lacks the tensors of ${lacking.module}, which ensure_weight_tying ties to those that it has`)
}
