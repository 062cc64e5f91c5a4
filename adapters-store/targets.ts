/** Which modules a config means: peft 0.21, tuners/tuners_utils.py, check_target_module_exists. */
import { type ConfigReader, isOff } from './config.ts'
import { FORMS, type Found, UnreadablePattern } from './pattern.ts'
import type { Site } from './types.ts'

/**
 * The sites that `target_modules` and what narrows it mean. Undefined where the config leaves it to PEFT's table of model types (null) or says it in
 * a pattern that only Python reads.
 */
export function targetedSites(config: ConfigReader, sites: Site[]): Site[] | undefined {
  if (config.values.target_modules === null || config.values.target_modules === undefined) return undefined
  try {
    const names = sites.map(({ module }) => module)
    const targeted = new Set(
      config.values.target_modules === 'all-linear' ? linear(sites) : listed(config, 'target_modules', names),
    )
    const excluded = new Set([...listed(config, 'exclude_modules', names), ...saved(config, names)])
    const inLayers = layerFilter(config, names)
    return sites.filter(({ module }) => targeted.has(module) && !excluded.has(module) && inLayers(module))
  } catch (error) {
    if ((error as Error).cause instanceof UnreadablePattern) return undefined
    throw error
  }
}

function linear(sites: Site[]): string[] {
  return sites.filter(({ kind }) => kind === 'linear').map(({ module }) => module)
}

/** By a pattern for the whole name (a string), or by a list of names and ends of names. */
function listed(config: ConfigReader, field: string, names: string[]): string[] {
  const value = config.values[field]
  if (isOff(value)) return []
  if (typeof value === 'string') return fitting(names, config.first(field, [value], names, FORMS.whole))
  const ends = new Set(config.names(field))
  return names.filter((name) => endsOf(name).some((end) => ends.has(end)))
}

/** The name, and what is left of it behind each dot. */
function endsOf(name: string): string[] {
  const parts = name.split('.')
  return parts.map((_, i) => parts.slice(i).join('.'))
}

/** What is saved whole, and what lies in it, is not adapted. */
function saved(config: ConfigReader, names: string[]): string[] {
  return fitting(names, config.first('modules_to_save', config.names('modules_to_save'), names, FORMS.within))
}

function fitting(names: string[], found: (Found | undefined)[]): string[] {
  return names.filter((_, i) => found[i])
}

/** layers_to_transform, which narrows a list only: a number or several. A module without the number of a layer is in none. */
function layerFilter(config: ConfigReader, names: string[]): (module: string) => boolean {
  const { layers_to_transform: layers, target_modules: targets } = config.values
  const wanted = new Set([layers === false ? [] : (layers ?? [])].flat())
  if (wanted.size === 0 || typeof targets === 'string') return () => true
  const patterns = config.names('layers_pattern')
  const found =
    patterns.length > 0
      ? config.first('layers_pattern', patterns, names, FORMS.layer)
      : config.first('layers_to_transform', [ANY_LAYER], names, FORMS.start)
  const chosen = new Set(names.filter((_, i) => wanted.has(Number(found[i]?.groups?.idx))))
  return (module) => chosen.has(module)
}

/** Without layers_pattern: the first number between dots that has a name before it. */
const ANY_LAYER = '.*?\\.[^.]*\\.(?<idx>\\d+)\\.'
