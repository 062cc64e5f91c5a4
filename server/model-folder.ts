/** A model folder that is none. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { ConfigError } from './config/values.ts'

/** Throws ConfigError, with what to give instead, if there is no such folder or if it is an adapter's. */
export function requireModelFolder(directory: string): void {
  if (!existsSync(directory)) throw new ConfigError(`the model folder ${directory} does not exist`)
  const adapter = path.join(directory, 'adapter_config.json')
  if (!existsSync(adapter) || existsSync(path.join(directory, 'config.json'))) return
  const base = baseOf(adapter)
  throw new ConfigError(
    `${directory} is an adapter and not a model: give the folder of its base model${base === undefined ? '' : ` (${base})`} as MODEL_DIR, and --adapter NAME=${directory}`,
  )
}

/** Which model the adapter was trained on, if its config says so. */
function baseOf(file: string): string | undefined {
  try {
    const base = (JSON.parse(readFileSync(file, 'utf8')) as { base_model_name_or_path?: unknown }).base_model_name_or_path
    return typeof base === 'string' && base !== '' ? base : undefined
  } catch {
    return undefined // it is only a hint
  }
}
