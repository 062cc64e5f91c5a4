/**
 * adapter_config.json: every key is known or the adapter is refused, because PEFT's options change what the tensors mean. A rule says what a
 * key's value may be. Read off peft 0.21 (src/peft/config.py, src/peft/tuners/<method>/config.py).
 */
import { AdapterError } from './errors.ts'
import { FORMS, type Found, PatternError, PatternMatcher } from './pattern.ts'

export type Config = Record<string, unknown>
/** Why this value is refused, or undefined when it is fine. */
export type Rule = (value: unknown) => string | undefined

/** Used while training, or already visible in the tensors: says nothing about inference. */
export const ignored: Rule = () => undefined

/** What PEFT takes for "off": it asks `if config.use_dora:`, of which null, false, 0 and empty values are none. */
export function off(reason: string): Rule {
  return (value) => (isOff(value) ? undefined : reason)
}

/** The same of an option that has a configuration of its own: an empty one is all of its defaults (lora/config.py, _get_lora_subconfig), not "off". */
export function absent(reason: string): Rule {
  return (value) => (isOff(value) && !isObject(value) ? undefined : reason)
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function oneOf(values: unknown[], reason: string): Rule {
  return (value) => (values.includes(value) ? undefined : reason)
}

/** What Python takes for false, and what is not there. */
export function isOff(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === 0 || value === '') return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

/** Of an option that this server does not know: an object all of whose values are off is off too. */
function isUnset(value: unknown): boolean {
  if (isOff(value)) return true
  return typeof value === 'object' && !Array.isArray(value) && Object.values(value as object).every(isUnset)
}

const COMMON: Record<string, Rule> = {
  task_type: oneOf(
    [null, 'CAUSAL_LM', 'SEQ_CLS', 'FEATURE_EXTRACTION'],
    'this server generates, classifies and embeds text: CAUSAL_LM, SEQ_CLS, FEATURE_EXTRACTION or null is expected',
  ),
  peft_type: ignored,
  peft_version: ignored,
  auto_mapping: ignored,
  base_model_name_or_path: ignored, // a path on another machine more often than not; the shapes are compared instead
  revision: ignored,
  inference_mode: ignored,
  // Which modules are adapted is read off the tensors.
  target_modules: ignored,
  exclude_modules: ignored,
  layers_to_transform: ignored,
  layers_pattern: ignored,
  modules_to_save: ignored,
  bias: oneOf(
    ['none', 'all', 'lora_only', 'vera_only', 'randlora_only', 'delora_only', 'miss_only', 'vblora_only'],
    'unknown to PEFT',
  ),
  // Weights stored [in, out], as in GPT-2, are in none of the supported models; PEFT sets it back to false where the base is a torch.nn.Linear.
  fan_in_fan_out: ignored,
  runtime_config: ignored, // PEFT ignores it too: it is for the run, not for the adapter (config.py, from_json_file)
  unsloth_fixed: ignored, // a marker that Unsloth adds
}

/** Throws for the first key that is unknown, or whose value would change the result in a way that is not implemented. */
export function checkConfig(file: string, config: Config, method: Record<string, Rule>): void {
  for (const [key, value] of Object.entries(config)) {
    const rule = Object.hasOwn(method, key) ? method[key] : Object.hasOwn(COMMON, key) ? COMMON[key] : undefined
    if (!rule) {
      // A newer PEFT writes its new options into every config, on or off, and PEFT itself reads past those that it does not know.
      if (isUnset(value)) continue
      throw new AdapterError(
        'adapter_option_unsupported',
        `${file}: ${key} is an option that this server does not know, and it may change the result; remove it if it does not`,
      )
    }
    const reason = rule(value)
    if (reason)
      throw new AdapterError('adapter_option_unsupported', `${file}: ${key} = ${short(value)} is not supported: ${reason}`)
  }
}

/** A value as errors show it. What is long, or may be a path, is told in kind only: clients read it. */
function short(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined'
  if (text.length <= 80 && !/[/\\]/.test(text)) return text
  if (typeof value === 'string') return `a text of ${value.length} characters`
  return Array.isArray(value) ? 'a list' : 'an object'
}

/** Typed reading with PEFT's default for an absent key. */
export class ConfigReader {
  readonly file: string
  readonly values: Config
  readonly #patterns = new PatternMatcher()
  readonly #modules: string[]
  readonly #perModule = new Map<string, Map<string, unknown>>()

  /** `modules` are those that a pattern may be asked about, so that it is tried on all of them at once. */
  constructor(file: string, values: Config, modules: string[] = []) {
    this.file = file
    this.values = values
    this.#modules = modules
  }

  /** Null is none: PEFT fails to compute with it, instead of taking its default. */
  number(key: string, otherwise: number): number {
    return this.#number(key, Object.hasOwn(this.values, key) ? this.values[key] : otherwise)
  }

  /** As PEFT asks: off is whatever Python takes for false. Of what it takes for true, "false" and "off" are doubtful. */
  boolean(key: string): boolean {
    const value = this.values[key]
    if (isOff(value)) return false
    if (value !== true && value !== 1) throw this.#invalid(key, value, 'true or false')
    return true
  }

  /** Names or, in some fields, one name. */
  names(key: string): string[] {
    const value = isOff(this.values[key]) ? [] : this.values[key]
    const list = typeof value === 'string' ? [value] : value
    if (!Array.isArray(list) || list.some((item) => typeof item !== 'string'))
      throw this.#invalid(key, value, 'a list of module names')
    return list
  }

  /** `<key>` unless a pattern of `<patternKey>` fits the module (rank_pattern, alpha_pattern). */
  perModule(key: string, otherwise: number, patternKey: string, module: string): number {
    let values = this.#perModule.get(patternKey)
    if (!values?.has(module)) {
      values = this.#matched(patternKey, [...new Set([...this.#modules, module])])
      this.#perModule.set(patternKey, values)
    }
    const found = values.get(module)
    return found === undefined ? this.number(key, otherwise) : this.#number(patternKey, found)
  }

  /**
   * The first of a field's `patterns` that fits, per name; all patterns of a config share the time that they have. Throws AdapterError for one that cannot be
   * used, caused by the PatternError.
   */
  first(field: string, patterns: string[], names: string[], form: (key: string) => string): (Found | undefined)[] {
    try {
      return this.#patterns.first(field, patterns, names, form)
    } catch (cause) {
      if (cause instanceof PatternError) throw new AdapterError('adapter_option_unsupported', cause.message, { cause })
      throw cause
    }
  }

  #matched(patternKey: string, modules: string[]): Map<string, unknown> {
    const values = this.values[patternKey] ?? {}
    if (!isObject(values)) throw this.#invalid(patternKey, values, 'an object of patterns and numbers')
    const patterns = Object.entries(values)
    const found = this.first(
      patternKey,
      patterns.map(([key]) => key),
      modules,
      FORMS.suffix,
    )
    return new Map(modules.map((module, i) => [module, found[i] && patterns[found[i].pattern][1]]))
  }

  #number(key: string, value: unknown): number {
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.#invalid(key, value, 'a number')
    return value
  }

  #invalid(key: string, value: unknown, expected: string): AdapterError {
    return new AdapterError('adapter_config_invalid', `${this.file}: ${key} is ${short(value)}; ${expected} is expected`)
  }
}
