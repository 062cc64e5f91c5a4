/** Values that a model writes as bare text, as JSON of the type that the tool's schema gives them. */
import { inQuotes, numberOf, pythonLiteral } from './python-literal.ts'
import { TextSource } from './text-source.ts'

type Schema = Record<string, unknown>

/** References and alternatives that are followed. */
const MOST_STEPS = 64
/** Characters of a reference that is followed: a parameter's types are looked up whenever a call has it, on the thread that serves everybody, and a body may hold megabytes of slashes. */
const MOST_REFERENCE = 1024

const isObject = (value: unknown): value is Schema => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Types that the schema allows for a tool's parameter; empty: it does not say. */
export function typesOf(parameters: object | undefined, name: string): Set<string> {
  const types = new Set<string>()
  const root = (parameters ?? {}) as Schema
  const properties = isObject(root.properties) ? root.properties : {}
  const open: unknown[] = Object.hasOwn(properties, name) ? [properties[name]] : []
  for (let steps = 0; open.length > 0 && steps < MOST_STEPS; steps++) {
    const schema = open.pop()
    if (!isObject(schema)) continue
    for (const type of [schema.type ?? []].flat().slice(0, MOST_STEPS)) types.add(usual(String(type)))
    for (const value of Array.isArray(schema.enum) ? schema.enum.slice(0, MOST_STEPS) : []) types.add(typeOf(value))
    if ('const' in schema) types.add(typeOf(schema.const))
    for (const many of [schema.anyOf, schema.oneOf, schema.allOf])
      if (Array.isArray(many)) open.push(...many.slice(0, MOST_STEPS))
    if (typeof schema.$ref === 'string') open.push(referred(root, schema.$ref))
  }
  return types
}

/** Names of types that JSON schemas do not know, and that tools' authors write all the same; vLLM reads them so. */
const UNUSUAL: readonly [RegExp, string][] = [
  [/^(u?int|long|short|unsigned)/, 'integer'],
  [/^(num|float|double)/, 'number'],
  [/^bool/, 'boolean'],
  [/^(dict|map)/, 'object'],
  [/^(list|arr|tuple)/, 'array'],
  [/^(str|text|varchar|char|enum)/, 'string'],
]

const usual = (type: string) => UNUSUAL.find(([names]) => names.test(type))?.[1] ?? type

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}

function referred(root: Schema, reference: string): unknown {
  if (!reference.startsWith('#/') || reference.length > MOST_REFERENCE) return undefined
  let at: unknown = root
  for (const part of reference.slice(2).split('/')) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    at = isObject(at) && Object.hasOwn(at, key) ? at[key] : undefined
  }
  return at
}

/** Whether every value is a string as it stands. */
export const isText = (types: ReadonlySet<string>) => types.size === 0 || (types.size === 1 && types.has('string'))

/** The text as JSON. What fits none of the types is a string. */
export function jsonOfText(text: string, types: ReadonlySet<string>): string {
  const bare = text.trim()
  const low = bare.toLowerCase()
  if (low === 'null' || (low === 'none' && types.has('null'))) return 'null'
  if (types.has('boolean') && (low === 'true' || low === 'false')) return low
  if (types.has('integer') && /^[+-]?\d{1,4096}$/.test(bare)) return numberOf(bare) as string
  if (types.has('number') && bare.length <= 4096) {
    const number = numberOf(bare)
    if (number !== undefined) return number.replace(/\.0+$/, '')
  }
  if (types.has('object') || types.has('array')) {
    const json = isJson(bare) ? bare : pythonAsJson(bare)
    if (json !== undefined && /^[[{]/.test(json)) return json
  }
  return `"${inQuotes(text)}"`
}

/** What text of no known type is: a JSON value, a Python literal, or else a string. */
export function jsonOfUntyped(text: string): string {
  const bare = text.trim()
  return (isJson(bare) ? bare : pythonAsJson(bare)) ?? `"${inQuotes(text)}"`
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function pythonAsJson(text: string): string | undefined {
  const source = new TextSource()
  source.push(text)
  source.end()
  const parts: string[] = []
  const read = pythonLiteral(source, (part) => parts.push(part)).next()
  return read.value === true && source.peek().next().value === '' ? parts.join('') : undefined
}
