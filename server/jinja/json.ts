/** JSON between requests and templates: json.dumps as transformers' `tojson` calls it, and JSON values as Python's. */
import { JinjaError, typeError, valueError } from './errors.ts'
import { floatText, indexOf, integerText } from './numbers.ts'
import { compare } from './operators.ts'
import { Dict, Float, isInteger, isText, plain, requireUnits, Tuple, truth, typeName, type Value } from './values.ts'

interface DumpOptions {
  ensureAscii?: Value
  indent?: Value
  separators?: Value
  sortKeys?: Value
}

/** json.dumps(value, …). Throws TypeError for what is no JSON. */
export function dumps(
  value: Value,
  { ensureAscii = false, indent = null, separators = null, sortKeys = false }: DumpOptions = {},
): string {
  const step = indent === null ? undefined : isText(indent) ? plain(indent) : ' '.repeat(Math.max(0, bounded(indexOf(indent))))
  let [item, key] = step === undefined ? [', ', ': '] : [',', ': ']
  if (separators !== null) {
    const pair = separators instanceof Tuple ? separators.items : separators
    if (!Array.isArray(pair) || pair.length !== 2 || !isText(pair[0]) || !isText(pair[1]))
      throw valueError('separators must be a pair of texts')
    item = plain(pair[0])
    key = plain(pair[1])
  }
  const quoted = truth(ensureAscii) ? asciiText : jsonText
  const write = (one: Value, line: string): string => {
    if (isText(one)) return quoted(plain(one))
    const scalar = scalarText(one)
    if (scalar !== undefined) return scalar
    const list = one instanceof Tuple ? one.items : one
    const inner = step === undefined ? '' : `${line}${step}`
    if (Array.isArray(list))
      return wrapped(
        '[',
        list.map((entry) => write(entry, inner)),
        ']',
        line,
        inner,
      )
    if (!(one instanceof Dict)) throw typeError(`Object of type ${typeName(one)} is not JSON serializable`)
    const entries = [...one.entries()]
    if (truth(sortKeys)) entries.sort(([a], [b]) => compare(a, b))
    const pairs = entries.map(([name, entry]) => quoted(keyText(name)) + key + write(entry, inner))
    return wrapped('{', pairs, '}', line, inner)
  }
  const wrapped = (open: string, parts: string[], close: string, line: string, inner: string) => {
    if (parts.length === 0) return open + close
    if (step === undefined) return open + parts.join(item) + close
    return `${open}\n${inner}${parts.join(`${item}\n${inner}`)}\n${line}${close}`
  }
  return write(value, '')
}

function bounded(spaces: number): number {
  requireUnits(spaces)
  return spaces
}

/** undefined: it is no number and no constant. */
function scalarText(value: Value): string | undefined {
  if (value === null) return 'null'
  if (typeof value === 'boolean') return String(value)
  if (isInteger(value)) return integerText(value)
  if (!(value instanceof Float)) return undefined
  const number = value.value
  if (Number.isFinite(number)) return floatText(number)
  return Number.isNaN(number) ? 'NaN' : number > 0 ? 'Infinity' : '-Infinity'
}

function keyText(key: Value): string {
  if (isText(key)) return plain(key)
  const scalar = scalarText(key)
  if (scalar === undefined) throw typeError(`keys must be str, int, float, bool or None, not ${typeName(key)}`)
  return scalar
}

/** JSON.stringify writes lone surrogates as escapes, which Python leaves as they are; no text of a request has any. */
const jsonText = (text: string) => JSON.stringify(text)

const asciiText = (text: string) =>
  JSON.stringify(text).replace(/[^\0-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)

/**
 * JSON as a template gets it: objects become dicts. What the server read exactly (exact-json.ts) keeps its kind: a Number object is a float without a fraction, a bigint a large int,
 * a Map an object in the order of its keys. Throws JinjaError for what is no JSON.
 */
export function fromJson(value: unknown): Value {
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'bigint':
      return value
    case 'number':
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? value : wide(value)
    case 'undefined':
      return null
    case 'object': {
      if (value === null) return null
      if (Array.isArray(value)) return value.map(fromJson)
      if (value instanceof Number) return new Float(Number(value))
      const dict = new Dict()
      const entries: Iterable<[string, unknown]> = value instanceof Map ? value : Object.entries(value)
      for (const [key, entry] of entries) if (entry !== undefined) dict.set(key, fromJson(entry))
      return dict
    }
    default:
      throw new JinjaError('TypeError', `${typeof value} is not JSON`)
  }
}

/** JSON.parse has forgotten whether a large one was an integer. */
function wide(value: number): Value {
  return Number.isInteger(value) && Math.abs(value) < 1e16 && !Object.is(value, -0) ? BigInt(value) : new Float(value)
}
