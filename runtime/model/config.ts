/** A model folder's config.json, read with checks: every getter names the key when the value is not what it must be. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { ModelError, type ModelErrorCode } from './errors.ts'

export type Json = Record<string, unknown>
export type LayerType = 'full_attention' | 'sliding_attention'

export function readJson(file: string): Json {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ModelError('model_file_missing', `cannot read ${file}: ${(cause as Error).message}`, { cause })
  }
  try {
    const value = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  } catch (cause) {
    throw new ModelError('model_file_invalid', `${file} is not JSON: ${(cause as Error).message}`, { cause })
  }
  throw new ModelError('model_file_invalid', `${file} must hold a JSON object`)
}

/** Characters of a value that a message repeats. */
const SHOWN = 100

/** A value in a message: short, and as JSON, so that no control character of a file reaches a terminal. */
export function shown(value: unknown): string {
  const json = JSON.stringify(value) ?? 'undefined'
  return json.length > SHOWN ? `${json.slice(0, SHOWN)}…` : json
}

/** No model's size comes near; beyond it a typo would only show as memory that runs out. */
const LARGEST_COUNT = 2 ** 24

export class Config {
  readonly json: Json
  private readonly file: string

  constructor(json: Json, file: string) {
    this.json = json
    this.file = file
  }

  static read(directory: string, name = 'config.json'): Config {
    const file = path.join(directory, name)
    return new Config(readJson(file), file)
  }

  /** A value of config.json that this server cannot serve rightly. */
  unsupported(key: string, what: string, code: ModelErrorCode = 'unsupported_config'): ModelError {
    return new ModelError(code, `${this.file}: ${key} ${what}`)
  }

  invalid(key: string, must: string, value = this.json[key]): ModelError {
    return new ModelError('invalid_config', `${this.file}: ${key} must be ${must}, not ${shown(value)}`)
  }

  has(key: string): boolean {
    return this.json[key] !== undefined && this.json[key] !== null
  }

  /** A positive integer. */
  count(key: string, fallback?: number): number {
    const value = this.has(key) ? this.json[key] : fallback
    if (!Number.isInteger(value) || (value as number) <= 0 || (value as number) > LARGEST_COUNT)
      throw this.invalid(key, `a positive integer of at most ${LARGEST_COUNT}`)
    return value as number
  }

  number(key: string, fallback?: number): number {
    const value = this.has(key) ? this.json[key] : fallback
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.invalid(key, 'a number')
    return value
  }

  positive(key: string, fallback: number): number {
    const value = this.number(key, fallback)
    if (value <= 0) throw this.invalid(key, 'positive')
    return value
  }

  /** A positive number; `none` where the key is null, `fallback` where it is absent: in a config the two differ. */
  positiveOr(none: number, key: string, fallback: number): number {
    const value = this.json[key]
    if (value === undefined) return fallback
    if (value === null) return none
    if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) throw this.invalid(key, 'a positive number or null')
    return value
  }

  /** One `sliding_window` for all layers: tokens, -1 where it is null. */
  window(fallback: number): number {
    return this.json.sliding_window === null ? -1 : this.has('sliding_window') ? this.count('sliding_window') : fallback
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.has(key) ? this.json[key] : fallback
    if (typeof value !== 'boolean') throw this.invalid(key, 'true or false')
    return value
  }

  text(key: string, fallback?: string): string {
    const value = this.has(key) ? this.json[key] : fallback
    if (typeof value !== 'string') throw this.invalid(key, 'a string')
    return value
  }

  object(key: string): Json | undefined {
    if (!this.has(key)) return undefined
    const value = this.json[key]
    if (typeof value !== 'object' || Array.isArray(value)) throw this.invalid(key, 'an object')
    return value as Json
  }

  /** `layer_types`, or what `rule` says of each layer. Without a rule the family has no sliding layers, and one that is named is refused. */
  layerTypes(layers: number, rule?: (layer: number) => LayerType): LayerType[] {
    if (!this.has('layer_types')) return Array.from({ length: layers }, (_, i) => rule?.(i) ?? 'full_attention')
    const value = this.json.layer_types
    if (!Array.isArray(value) || value.length !== layers || value.some((v) => typeof v !== 'string'))
      throw this.invalid('layer_types', `a list of ${layers} strings`)
    for (const type of value)
      if (type !== 'full_attention' && type !== 'sliding_attention')
        throw this.unsupported('layer_types', `names ${shown(type)}; supported are full_attention and sliding_attention`)
    if (!rule && value.includes('sliding_attention'))
      throw this.unsupported('layer_types', `names sliding_attention, which model_type ${this.json.model_type} does not have`)
    return value
  }
}

/** End-of-sequence ids: generation_config.json's before config.json's, a number or a list in either. */
export function eosTokenIds(config: Config, generation: Config | undefined): number[] {
  const source = generation?.has('eos_token_id') ? generation : config
  const value = source.json.eos_token_id ?? []
  const ids = Array.isArray(value) ? value : [value]
  if (!ids.every((id) => Number.isInteger(id))) throw source.invalid('eos_token_id', 'a token id or a list of them')
  return ids as number[]
}
