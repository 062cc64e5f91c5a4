/**
 * adapter_config.json: every key is known or the adapter is refused, because PEFT's options change what the tensors mean. A rule says what a
 * key's value may be. Read off peft 0.21 (src/peft/config.py, src/peft/tuners/<method>/config.py).
 */
import { AdapterError } from './errors.ts'
import { patternValue } from './pattern.ts'

export type Config = Record<string, unknown>
/** Why this value is refused, or undefined when it is fine. */
export type Rule = (value: unknown) => string | undefined

/** Used while training, or already visible in the tensors: says nothing about inference. */
export const ignored: Rule = () => undefined

/** Null, false and empty values mean "off" in all of PEFT's optional fields. */
export function off(reason: string): Rule {
  return (value) => (isOff(value) ? undefined : reason)
}

export function oneOf(values: unknown[], reason: string): Rule {
  return (value) => (values.includes(value) ? undefined : reason)
}

function isOff(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

const COMMON: Record<string, Rule> = {
  task_type: oneOf([null, 'CAUSAL_LM'], 'this server generates text: CAUSAL_LM (or null) is expected'),
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
  fan_in_fan_out: off('weights stored [in, out] as in GPT-2 are in none of the supported models'),
  unsloth_fixed: ignored, // a marker that Unsloth adds
}

/** Throws for the first key that is unknown, or whose value would change the result in a way that is not implemented. */
export function checkConfig(file: string, config: Config, method: Record<string, Rule>): void {
  for (const [key, value] of Object.entries(config)) {
    const rule = Object.hasOwn(method, key) ? method[key] : Object.hasOwn(COMMON, key) ? COMMON[key] : undefined
    if (!rule) {
      // A newer PEFT writes its new options into every config; null is how it says that one is not used.
      if (value === null) continue
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

function short(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined'
  return text.length > 80 ? `${text.slice(0, 77)}…` : text
}

/** Typed reading with PEFT's default for an absent key. */
export class ConfigReader {
  readonly file: string
  readonly values: Config

  constructor(file: string, values: Config) {
    this.file = file
    this.values = values
  }

  number(key: string, otherwise: number): number {
    return this.#number(key, this.values[key] ?? otherwise)
  }

  boolean(key: string): boolean {
    const value = this.values[key] ?? false
    if (typeof value !== 'boolean') throw this.#invalid(key, value, 'true or false')
    return value
  }

  /** Names or, in some fields, one name. */
  names(key: string): string[] {
    const value = this.values[key] ?? []
    const list = typeof value === 'string' ? [value] : value
    if (!Array.isArray(list) || list.some((item) => typeof item !== 'string'))
      throw this.#invalid(key, value, 'a list of module names')
    return list
  }

  /** `<key>` unless a pattern of `<patternKey>` fits the module (rank_pattern, alpha_pattern). */
  perModule(key: string, otherwise: number, patternKey: string, module: string): number {
    const patterns = this.values[patternKey] ?? {}
    if (typeof patterns !== 'object' || Array.isArray(patterns))
      throw this.#invalid(patternKey, patterns, 'an object of patterns and numbers')
    const found = patternValue(patternKey, patterns as Record<string, unknown>, module)
    return found === undefined ? this.number(key, otherwise) : this.#number(patternKey, found)
  }

  #number(key: string, value: unknown): number {
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.#invalid(key, value, 'a number')
    return value
  }

  #invalid(key: string, value: unknown, expected: string): AdapterError {
    return new AdapterError('adapter_config_invalid', `${this.file}: ${key} is ${short(value)}; ${expected} is expected`)
  }
}
