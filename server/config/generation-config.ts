/** What generation_config.json says of sampling: defaults of requests, as vLLM applies them. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { shown } from '../../runtime/model/config.ts'
import {
  complaint,
  SAMPLING_OPTION_NAMES,
  SAMPLING_OPTIONS,
  type SamplingOption,
  type SamplingScalars,
} from '../../runtime/sampling-options.ts'
import { ConfigError } from './values.ts'

/** Throws ConfigError for a value that no request might bring either: every request that leaves the field out would fail. */
export function samplingDefaults(directory: string): Partial<SamplingScalars> {
  const file = path.join(directory, 'generation_config.json')
  if (!existsSync(file)) return {}
  let json: Record<string, unknown> | null
  try {
    json = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new ConfigError(`${file} cannot be read: ${(error as Error).message}`)
  }
  const defaults: Partial<SamplingScalars> = {}
  for (const name of SAMPLING_OPTION_NAMES) {
    const option: SamplingOption = SAMPLING_OPTIONS[name]
    const value = option.ofModel && option.field ? json?.[option.field] : undefined
    if (value === undefined || value === null) continue
    const wrong = complaint(option, value)
    if (wrong) throw new ConfigError(`${file}: ${option.field} ${wrong}, not ${shown(value)}`)
    defaults[name] = value as number
  }
  return defaults
}
