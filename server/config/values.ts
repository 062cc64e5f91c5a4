/** Reading one setting's value, from text or JSON. */
import { ConfigError } from './config-error.ts'
import { readKvEvents } from './kv-events.ts'
import type { Setting } from './setting.ts'
import { readSpeculation } from './speculation.ts'

export { ConfigError }

const UNITS: Record<string, number> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
}

/** `512MiB`, `2 GB`, `1073741824` → bytes; undefined if it is no size. */
export function parseSize(text: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$/.exec(text)
  const unit = match && UNITS[match[2].toUpperCase()]
  return match && unit ? Math.floor(Number(match[1]) * unit) : undefined
}

/** The value as the setting wants it. `source` is how errors call the place, e.g. `--port`. */
export function readValue(source: string, setting: Setting, raw: unknown): unknown {
  const shown = setting.secret ? 'what it is' : JSON.stringify(raw)
  const wrong = (must: string) => new ConfigError(`${source} must be ${must}, not ${shown}`)
  switch (setting.kind) {
    case 'text':
      if (raw === '') throw new ConfigError(`${source} is empty: give ${setting.value}, or leave it out`)
      if (typeof raw !== 'string') throw wrong('a text')
      if (setting.pattern && !setting.pattern[0].test(raw)) throw wrong(setting.pattern[1])
      return raw
    case 'texts': {
      const list = Array.isArray(raw) ? raw : typeof raw === 'string' ? raw.split(',') : []
      if (raw === '' || list.length === 0 || !list.every((text) => typeof text === 'string' && text.trim() !== ''))
        throw new ConfigError(`${source} is empty, or one of it is: give ${setting.value}, or leave it out`)
      if (source.startsWith('--') && list.some((text: string) => text.includes(',')))
        throw new ConfigError(`${source} holds a comma: repeat it for each ${setting.value}`)
      return list.map((text: string) => text.trim())
    }
    case 'choice': {
      const meant = (typeof raw === 'string' && setting.spellings?.[raw]) || raw
      if (!setting.choices?.includes(meant as string)) throw wrong(`one of ${setting.choices?.join(', ')}`)
      return meant
    }
    case 'flag':
      if (raw === true || raw === 'true' || raw === '1') return true
      if (raw === false || raw === 'false' || raw === '0') return false
      throw wrong('true or false')
    case 'size': {
      const bytes = typeof raw === 'number' ? raw : typeof raw === 'string' ? parseSize(raw) : undefined
      if (bytes === undefined || !(bytes > 0)) throw wrong('a size like 512MiB or 2GB')
      return bytes
    }
    case 'integer': {
      const number = typeof raw === 'string' && /^\d+$/.test(raw.trim()) ? Number(raw) : raw
      const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER } = setting
      if (!Number.isInteger(number) || (number as number) < minimum || (number as number) > maximum)
        throw wrong(
          setting.maximum === undefined ? `an integer of at least ${minimum}` : `an integer from ${minimum} to ${maximum}`,
        )
      return number
    }
    case 'fraction': {
      const number = typeof raw === 'string' && /^\d*\.?\d+$/.test(raw.trim()) ? Number(raw) : raw
      if (typeof number !== 'number' || !(number > 0 && number <= 1)) throw wrong('a number above 0 and at most 1')
      return number
    }
    case 'decimal': {
      const number = typeof raw === 'string' && /^\d*\.?\d+$/.test(raw.trim()) ? Number(raw) : raw
      const { maximum = Number.MAX_VALUE } = setting
      if (typeof number !== 'number' || !(number > 0 && number <= maximum)) throw wrong(`a number above 0 and at most ${maximum}`)
      return number
    }
    case 'speculation':
      return readSpeculation(source, raw)
    case 'kvEvents':
      return readKvEvents(source, raw)
    case 'adapters':
      return readAdapters(source, raw)
  }
}

/** {name: folder}, or a list (or comma-separated text) of NAME=DIR, or of vLLM's {"name", "path"} as JSON. */
function readAdapters(source: string, raw: unknown): Record<string, string> {
  // Without a prototype: an adapter may be called toString.
  const adapters: Record<string, string> = Object.create(null)
  const enter = (name: string, directory: unknown) => {
    if (typeof directory !== 'string' || directory === '' || name === '')
      throw new ConfigError(`${source} must be NAME=DIR, not ${JSON.stringify(raw)}`)
    if (name in adapters && adapters[name] !== directory)
      throw new ConfigError(`${source} names the adapter ${name} twice, with different folders`)
    adapters[name] = directory
  }
  if (typeof raw === 'object' && raw !== null && !Array.isArray(raw)) {
    for (const [name, directory] of Object.entries(raw)) enter(name, directory)
    return adapters
  }
  const text = String(raw)
  for (const item of Array.isArray(raw) ? raw : text.trim().startsWith('{') ? [text] : text.split(',')) {
    if (String(item).trim().startsWith('{')) {
      const { name, path } = moduleOf(source, String(item))
      enter(name, path)
      continue
    }
    const at = String(item).indexOf('=')
    enter(String(item).slice(0, Math.max(at, 0)), String(item).slice(at + 1))
  }
  return adapters
}

/** vLLM's form of an adapter on the command line; its `base_model_name` says nothing that is not known. */
function moduleOf(source: string, text: string): { name: string; path: unknown } {
  const wrong = new ConfigError(`${source} must be NAME=DIR, or {"name": "NAME", "path": "DIR"}, not ${text}`)
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw wrong
  }
  const { name, path, ...others } = json as Record<string, unknown>
  if (typeof name !== 'string' || Object.keys(others).some((key) => key !== 'base_model_name')) throw wrong
  return { name, path }
}
