/** Request bodies made from the server's own API document: valid ones, ones at the boundaries, and ones with something wrong. */
import type { ApiDocument, JsonSchema, Operation } from '../support/api-document.ts'
import { changed, type Json, oddJson, oddNumber, oddText } from './odd.ts'
import type { Random } from './trial.ts'

export interface Route {
  method: string
  path: string
  /** Of its JSON body, where it takes one. */
  schema?: Schema
  examples: unknown[]
}

/** What of JSON Schema our document uses for requests, with nothing that refers elsewhere. */
interface Schema {
  type?: string | string[]
  anyOf?: Schema[]
  enum?: unknown[]
  const?: unknown
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
  minLength?: number
  maxLength?: number
  pattern?: string
  minItems?: number
  maxItems?: number
  items?: Schema
  properties?: Record<string, Schema>
  maxProperties?: number
  required?: string[]
  additionalProperties?: boolean | Schema
}

export function routesOf(document: ApiDocument): Route[] {
  return document.operations.map((operation) => ({
    method: operation.method,
    path: operation.path,
    schema: schemaOf(document, operation),
    examples: operation.body?.examples ?? [],
  }))
}

/** Of an operation's body. */
export const schemaOf = (document: ApiDocument, { body }: Operation): Schema | undefined => body && inlined(document, body.schema)

export function inlined(document: ApiDocument, schema: JsonSchema): Schema {
  const inline = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value
    if (Array.isArray(value)) return value.map(inline)
    return Object.fromEntries(Object.entries(document.resolved(value as JsonSchema)).map(([key, held]) => [key, inline(held)]))
  }
  return inline(schema) as Schema
}

/** Lengths that a fuzzer has time for. */
const LONGEST = 3000

/** Texts that some pattern wants. */
const PATTERNED = [
  'a',
  'look_up-1',
  'x'.repeat(64),
  'pirate',
  'pirate;w=0.5, json',
  '"a b"',
  '1',
  '20',
  '100',
  '0.5',
  '3600',
  'asc',
]

/** A value that the schema allows, often at its boundary; `beyond`: just past it. */
export function fromSchema(random: Random, schema: Schema, beyond = false): unknown {
  if ('const' in schema) return beyond ? oddJson(random, 1) : schema.const
  if (schema.enum) return beyond ? oddText(random) : random.pick(schema.enum)
  if (schema.anyOf) {
    const valued = schema.anyOf.filter(({ type }) => type !== 'null')
    if (valued.length < schema.anyOf.length && random.below(8) === 0) return null
    return fromSchema(random, random.pick(valued), beyond)
  }
  const type = Array.isArray(schema.type) ? random.pick(schema.type) : schema.type
  switch (type) {
    case 'null':
      return beyond ? oddJson(random, 1) : null
    case 'integer':
    case 'number':
      return numberOf(random, { ...schema, type }, beyond)
    case 'boolean':
      return beyond ? random.pick([0, 1, 'true', []]) : random.below(2) === 1
    case 'string':
      return textOf(random, schema, beyond)
    case 'array': {
      const { minItems = 0, maxItems = 6, items = {} } = schema
      const count = beyond
        ? random.pick([minItems - 1, maxItems + 1])
        : random.pick([minItems, minItems + 1, Math.min(maxItems, random.below(20))])
      const fitting = beyond ? count : Math.min(Math.max(count, minItems), maxItems)
      return Array.from({ length: Math.max(0, Math.min(fitting, LONGEST)) }, () => fromSchema(random, items))
    }
    case 'object':
      return beyond && random.below(2) ? random.pick([[], 'x', 1]) : objectOf(random, schema)
    default:
      return oddJson(random, 2)
  }
}

function textOf(random: Random, { minLength = 0, maxLength, pattern }: Schema, beyond: boolean): string | number {
  if (beyond && maxLength !== undefined) return 'x'.repeat(maxLength + 1)
  if (beyond) return pattern !== undefined ? random.pick(['', ' ', 'ü\n']) : minLength > 0 ? '' : oddNumber(random)
  if (pattern !== undefined) return random.pick(PATTERNED.filter((text) => new RegExp(pattern, 'u').test(text)))
  const text = random.below(2) ? oddText(random) : 'a word '.repeat(random.below(8))
  // Characters count, not UTF-16 units.
  const characters = [...text].slice(0, maxLength ?? LONGEST)
  while (characters.length < minLength) characters.push('x')
  return characters.join('')
}

function numberOf(random: Random, schema: Schema, beyond: boolean): number {
  const { type, exclusiveMinimum, exclusiveMaximum } = schema
  const step = type === 'integer' ? 1 : 1e-6
  const low = schema.minimum ?? (exclusiveMinimum === undefined ? -100 : exclusiveMinimum + step)
  const high = schema.maximum ?? (exclusiveMaximum === undefined ? Math.max(100, low) : exclusiveMaximum - step)
  if (beyond)
    return random.pick([
      exclusiveMinimum ?? low - 1,
      exclusiveMaximum ?? high + 1,
      oddNumber(random),
      type === 'integer' ? low + 0.5 : low - 1e-3,
    ])
  const small = Math.min(high, low + 40)
  const within = () => low + random.next() * (small - low)
  const value = random.pick([low, high, Math.min(high, low + 1), small, within(), within()])
  return type === 'integer' ? Math.floor(value) : value
}

function objectOf(random: Random, { properties = {}, required = [], additionalProperties = true, maxProperties }: Schema): Json {
  const entries: [string, unknown][] = []
  for (const [key, schema] of Object.entries(properties))
    if (required.includes(key) || random.below(3) === 0) entries.push([key, fromSchema(random, schema)])
  for (const key of required) if (!(key in properties)) entries.push([key, oddJson(random, 1)])
  if (typeof additionalProperties === 'object')
    for (let i = random.below(Math.min(6, (maxProperties ?? 6) + 1)); i > 0; i--)
      if (additionalProperties.type !== 'null')
        entries.push([String(random.below(1500)), fromSchema(random, additionalProperties)])
  return Object.fromEntries(entries)
}

/** The alternative that an example is of, or any. */
function alternative(random: Random, schema: Schema, body: unknown): Schema {
  if (!schema.anyOf) return schema
  const { anyOf, ...common } = schema
  // What all have, and one of them adds to.
  if (common.type === 'object') {
    const one = alternative(random, { anyOf: anyOf.map((added) => ({ type: 'object', ...added })) }, body)
    const required = [...(common.required ?? []), ...(one.required ?? [])]
    return { ...common, required, properties: { ...common.properties, ...one.properties } }
  }
  const objects = schema.anyOf.filter(({ type }) => type === 'object')
  const fits = ({ required = [] }: Schema) => required.every((key) => typeof body === 'object' && body !== null && key in body)
  return objects.find((one) => one.required && body !== undefined && fits(one)) ?? random.pick(objects)
}

/** A body that the schema allows, from an example more often than not: required fields, and a few others. */
export function validBody(random: Random, whole: Schema, examples: readonly unknown[]): unknown {
  if (whole.anyOf?.some(({ type }) => type === 'null') && random.below(6) === 0) return null
  const example = examples.length > 0 && random.below(4) > 0 ? structuredClone(random.pick(examples)) : undefined
  const { properties = {}, required = [] } = alternative(random, whole, example)
  const body: Json = { ...(example as Json | undefined) }
  for (const key of required) if (!(key in body) || random.below(8) === 0) body[key] = fromSchema(random, properties[key])
  const names = Object.keys(properties)
  for (let i = random.below(4); i > 0 && names.length > 0; i--) {
    const name = random.pick(names)
    body[name] = fromSchema(random, properties[name])
  }
  return body
}

/** A valid body with one thing in it that breaks a keyword of its schema, most likely: whoever uses it asks whether it does. */
export function negated(random: Random, whole: Schema, valid: unknown): unknown {
  if (typeof valid !== 'object' || valid === null || random.below(12) === 0) return random.pick([[], 'x', 1, [valid]])
  const body = structuredClone(valid) as Json
  const { properties = {}, required = [] } = alternative(random, whole, valid)
  const names = Object.keys(properties)
  const kind = random.below(8)
  if (kind === 0 && required.length > 0) delete body[random.pick(required)]
  else if (kind === 1) body[`${random.pick(['x', 'max_tokenz', '_'])}${random.below(100)}`] = oddJson(random, 1)
  else if (names.length > 0) {
    const name = random.pick(random.below(2) ? Object.keys(body).filter((key) => key in properties) : names)
    if (name !== undefined) body[name] = brokenValue(random, properties[name], body[name])
  }
  return body
}

/** Of a value in an object or a list some part, else the value itself. */
function brokenValue(random: Random, schema: Schema, value: unknown): unknown {
  const one = schema.anyOf?.find(({ type, items, properties }) =>
    Array.isArray(value) ? type === 'array' && items : typeof value === 'object' && type === 'object' && properties,
  )
  const { items, properties, required = [] } = one ?? schema
  if (Array.isArray(value) && value.length > 0 && items && random.below(2)) {
    const copy = [...value]
    const at = random.below(copy.length)
    copy[at] = brokenValue(random, items, copy[at])
    return copy
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && properties && random.below(2)) {
    const copy: Json = { ...(value as Json) }
    const key = random.pick(Object.keys(properties))
    if (required.includes(key) && random.below(2)) delete copy[key]
    else copy[key] = brokenValue(random, properties[key], copy[key])
    return copy
  }
  return random.below(3) ? fromSchema(random, one ?? schema, true) : random.pick([{}, [], 'x', -1.5, true, [[]], { a: 1 }])
}

/** Most fields of a request change little; a few at a time keep most bodies from being refused for the first of them. */
export function bodyOf(random: Random, whole: Schema, examples: readonly unknown[]): unknown {
  const example = examples.length > 0 && random.below(5) ? structuredClone(random.pick(examples)) : undefined
  const { properties = {}, required = [] } = alternative(random, whole, example)
  const body: Json = { ...(example as Json | undefined) }
  for (const key of required) body[key] ??= fromSchema(random, properties[key])
  const names = Object.keys(properties)
  // A body of which the document says nothing.
  if (names.length === 0) return random.below(2) ? body : oddJson(random, 2)
  const kind = random.below(10)
  for (let i = random.below(5); i > 0; i--) {
    const name = random.pick(names)
    body[name] = fromSchema(random, properties[name])
  }
  if (kind < 2) {
    const name = random.pick(names)
    body[name] = fromSchema(random, properties[name], true)
  } else if (kind < 4) return changed(random, body)
  else if (kind === 4) body[random.pick(names)] = oddJson(random)
  else if (kind === 5) return { ...body, ...Object.fromEntries([[oddText(random), oddJson(random, 1)]]) }
  else if (kind === 6 && random.below(4) === 0) return oddJson(random)
  return body
}
