/** Matching module names the way PEFT does. The patterns are Python regular expressions that come with the adapter, so they are not trusted. */
import { createContext, Script } from 'node:vm'
import { AdapterError } from './errors.ts'

/** A nested quantifier can take exponential time; module names are short, so an honest pattern needs microseconds. */
const MATCH_MS = 200
const runner = new Script('pattern.test(name)')
/** Only a script can be timed out; making a context costs a millisecond, so there is one. */
let sandbox: { pattern?: RegExp; name?: string } | undefined

/**
 * The value of the first pattern that fits the module, as PEFT's get_pattern_key: `^(.*\.)?(key)$`.
 * Throws adapter_option_unsupported for a pattern that JavaScript reads otherwise than Python or that does not end.
 */
export function patternValue(field: string, patterns: Record<string, unknown>, module: string): unknown {
  for (const [key, value] of Object.entries(patterns)) {
    if (matches(field, key, module)) return value
  }
  return undefined
}

function matches(field: string, key: string, module: string): boolean {
  let pattern: RegExp
  try {
    // With the u flag every escape that JavaScript lacks (\A, \Z, (?P<…>)) is an error instead of a letter.
    pattern = new RegExp(`^(.*\\.)?(${key})$`, 'u')
  } catch {
    throw refused(field, key, 'is not a regular expression that this server reads like Python')
  }
  if (!/[*+{]/.test(key)) return pattern.test(module)
  sandbox ??= createContext({})
  Object.assign(sandbox, { pattern, name: module })
  try {
    return runner.runInContext(sandbox, { timeout: MATCH_MS }) as boolean
  } catch {
    throw refused(field, key, `took longer than ${MATCH_MS} ms to match ${module}`)
  }
}

function refused(field: string, key: string, reason: string): AdapterError {
  return new AdapterError(
    'adapter_option_unsupported',
    `${field}: the pattern ${JSON.stringify(key)} ${reason}; name the modules instead`,
  )
}
