/** Request bodies made from the server's own API document: valid ones, ones at the boundaries, and ones with something wrong. */
import { changed, type Json, oddJson, oddNumber, oddText } from './odd.ts'
import type { Random } from './trial.ts'

export interface Route {
  method: string
  path: string
  /** Of its JSON body, where it takes one. */
  schema?: Schema
}

/** What of OpenAPI 3.1's schemas our document uses. */
interface Schema {
  type?: string
  anyOf?: Schema[]
  enum?: unknown[]
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
  items?: Schema
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
  examples?: Json[]
  example?: Json
}

/** What of an OpenAPI document is read. */
interface Document {
  paths: Record<string, Record<string, { requestBody?: { content: Record<string, { schema: Schema }> } }>>
}

export function routesOf({ paths }: Document): Route[] {
  const routes: Route[] = []
  for (const [path, methods] of Object.entries(paths))
    for (const [method, { requestBody }] of Object.entries(methods))
      routes.push({ method: method.toUpperCase(), path, schema: requestBody?.content['application/json']?.schema })
  return routes
}

/** Lengths that a fuzzer has time for. */
const LONGEST = 3000

/** A value that the schema allows, often at its boundary; `beyond`: just past it. */
export function fromSchema(random: Random, schema: Schema, beyond = false): unknown {
  if (schema.enum) return beyond ? oddText(random) : random.pick(schema.enum)
  if (schema.anyOf) {
    const valued = schema.anyOf.filter(({ type }) => type !== 'null')
    if (valued.length < schema.anyOf.length && random.below(8) === 0) return null
    return fromSchema(random, random.pick(valued), beyond)
  }
  switch (schema.type) {
    case 'integer':
    case 'number':
      return numberOf(random, schema, beyond)
    case 'boolean':
      return beyond ? random.pick([0, 1, 'true', []]) : random.below(2) === 1
    case 'string': {
      const { minLength = 0, maxLength } = schema
      if (beyond && maxLength !== undefined) return 'x'.repeat(maxLength + 1)
      if (beyond) return minLength > 0 ? '' : oddNumber(random)
      const text = random.below(2) ? oddText(random) : 'a word '.repeat(random.below(8))
      return text.slice(0, maxLength ?? LONGEST).padEnd(minLength, 'x')
    }
    case 'array': {
      const { minItems = 0, maxItems = 6, items = {} } = schema
      const count = beyond
        ? random.pick([minItems - 1, maxItems + 1])
        : random.pick([minItems, minItems + 1, Math.min(maxItems, random.below(20))])
      return Array.from({ length: Math.max(0, Math.min(count, LONGEST)) }, () => fromSchema(random, items))
    }
    case 'object':
      return objectOf(random, schema)
    default:
      return oddJson(random, 2)
  }
}

function numberOf(random: Random, { type, minimum = -100, maximum = 100, exclusiveMinimum }: Schema, beyond: boolean): number {
  const low = exclusiveMinimum ?? minimum
  if (beyond) return random.pick([low - 1, maximum + 1, oddNumber(random), type === 'integer' ? low + 0.5 : low - 1e-9])
  const small = Math.min(maximum, low + 40)
  const value = random.pick([
    low,
    maximum,
    low + 1,
    small,
    low + random.next() * (small - low),
    low + random.next() * (small - low),
  ])
  return type === 'integer' ? Math.floor(value) : value
}

function objectOf(random: Random, { properties = {}, required = [], additionalProperties }: Schema): Json {
  const entries: [string, unknown][] = []
  for (const [key, schema] of Object.entries(properties))
    if (required.includes(key) || random.below(3) === 0) entries.push([key, fromSchema(random, schema)])
  if (typeof additionalProperties === 'object')
    for (let i = random.below(6); i > 0; i--) entries.push([String(random.below(2000)), fromSchema(random, additionalProperties)])
  return Object.fromEntries(entries)
}

/** Most fields of a request change little; a few at a time keep most bodies from being refused for the first of them. */
export function bodyOf(random: Random, schema: Schema): unknown {
  const { properties = {}, required = [], examples = schema.example ? [schema.example] : [] } = schema
  const body: Json = examples.length > 0 && random.below(5) ? structuredClone(random.pick(examples)) : {}
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
