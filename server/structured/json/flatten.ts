/**
 * A schema without references and allOf: what they say beside each other as one schema, where that can be said. What is left are keywords of one value, and anyOf and oneOf.
 * Throws ConstraintError at a keyword that is refused, or that cannot be joined with another's.
 */
import { isDeepStrictEqual } from 'node:util'
import { ConstraintError } from '../ebnf.ts'
import { ANNOTATIONS, REFUSED, type Schema, typeOf } from './keywords.ts'
import { inside } from './strings.ts'

/** A schema as it stands somewhere: true is `{}`. Undefined: false, which nothing is valid by. */
export function schemaAt(value: unknown): Schema | undefined {
  if (value === true) return {}
  if (value === false) return undefined
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Schema
  throw new ConstraintError('', 'it must be a schema: an object, true or false')
}

/** What a reference names. Throws ConstraintError. */
export function pointed(root: unknown, reference: unknown): unknown {
  if (typeof reference !== 'string' || !/^#($|\/)/.test(reference))
    throw new ConstraintError('', `only references within the schema are supported (#/…), not ${shown(reference)}`)
  let at: unknown = root
  for (const part of reference.split('/').slice(1)) {
    const key = decoded(part).replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key))
      throw new ConstraintError('', `there is nothing at ${shown(reference)}`)
    at = (at as Record<string, unknown>)[key]
  }
  return at
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/** Characters of a client's value that a message repeats. */
const SHOWN = 100
const shown = (value: unknown) => {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text
}

/** Without what says nothing. */
export function said(schema: Schema): Schema {
  const kept: [string, unknown][] = []
  for (const [keyword, value] of Object.entries(schema)) {
    if (ANNOTATIONS.has(keyword)) continue
    if (Object.hasOwn(REFUSED, keyword)) {
      if (REFUSED[keyword](value, schema)) continue
      throw new ConstraintError(keyword, 'this keyword of JSON Schema is not supported: no answer can be held to it')
    }
    kept.push([keyword, value])
  }
  return Object.fromEntries(kept)
}

/** Whether all that it says is where to look. */
export const isReference = (schema: Schema): boolean => {
  const keywords = Object.keys(schema)
  return keywords.length === 1 && keywords[0] === '$ref'
}

/** Undefined: nothing is valid by it. `seen`: references that led here. */
export function flatten(root: unknown, schema: Schema, seen: readonly unknown[] = []): Schema | undefined {
  const { $ref, allOf, ...rest } = said(schema)
  let whole: Schema | undefined = rest
  if ($ref !== undefined) {
    if (seen.includes($ref)) throw new ConstraintError('$ref', `${shown($ref)} leads to itself`)
    const target = inside('$ref', () => schemaAt(pointed(root, $ref)))
    const flat = target && inside('$ref', () => flatten(root, target, [...seen, $ref]))
    whole = flat && join(whole, flat)
  }
  if (allOf === undefined) return whole
  if (!Array.isArray(allOf)) throw new ConstraintError('allOf', 'it must be a list of schemas')
  for (const [i, one] of allOf.entries()) {
    if (!whole) return undefined
    const so = whole
    whole = inside(`allOf.${i}`, () => {
      const part = schemaAt(one)
      const flat = part && flatten(root, part, seen)
      return flat && join(so, flat)
    })
  }
  return whole
}

const largest = (a: unknown, b: unknown) => Math.max(a as number, b as number)
const smallest = (a: unknown, b: unknown) => Math.min(a as number, b as number)

/** Keywords that can be said twice: what both say. Undefined: nothing is valid by both. */
const JOINED: Record<string, (a: unknown, b: unknown) => unknown> = {
  type: (a, b) => {
    const types = (list: unknown) => (Array.isArray(list) ? list : [list])
    const common = types(a).flatMap((one) =>
      types(b).flatMap((other) => {
        if (one === other) return [one]
        return [one, other].sort().join() === 'integer,number' ? ['integer'] : []
      }),
    )
    return common.length > 0 ? [...new Set(common)] : undefined
  },
  enum: (a, b) => (a as unknown[]).filter((one) => (b as unknown[]).some((other) => isDeepStrictEqual(one, other))),
  required: (a, b) => [...new Set([...(a as unknown[]), ...(b as unknown[])])],
  minimum: largest,
  exclusiveMinimum: largest,
  minLength: largest,
  minItems: largest,
  minProperties: largest,
  maximum: smallest,
  exclusiveMaximum: smallest,
  maxLength: smallest,
  maxItems: smallest,
  maxProperties: smallest,
  properties: (a, b) => {
    const joined = new Map(Object.entries(a as Schema))
    for (const [name, schema] of Object.entries(b as Schema))
      joined.set(name, joined.has(name) ? { allOf: [joined.get(name), schema] } : schema)
    return Object.fromEntries(joined)
  },
  items: (a, b) => ({ allOf: [a, b] }),
}

/** What two flat schemas say together; undefined: nothing is valid by both. */
export function join(a: Schema, b: Schema): Schema | undefined {
  for (const [one, other] of [
    [a, b],
    [b, a],
  ]) {
    const closed = one.additionalProperties !== undefined && one.additionalProperties !== true
    const names = Object.keys((one.properties ?? {}) as object)
    const more = Object.keys((other.properties ?? {}) as object).some((name) => !names.includes(name))
    if (closed && more)
      throw new ConstraintError(
        'additionalProperties',
        'schemas that hold beside each other and name different properties are supported only where none of them says additionalProperties',
      )
    const tuple = one.prefixItems !== undefined || Array.isArray(one.items)
    if (tuple && (other.items !== undefined || other.prefixItems !== undefined) && !isDeepStrictEqual(one, other))
      throw new ConstraintError('prefixItems', 'it is not supported beside items of another schema')
  }
  const whole = new Map(Object.entries(a))
  for (const [keyword, value] of Object.entries(b)) {
    const before = whole.get(keyword)
    if (!whole.has(keyword) || isDeepStrictEqual(before, value)) {
      whole.set(keyword, value)
      continue
    }
    const both = Object.hasOwn(JOINED, keyword) ? JOINED[keyword] : undefined
    if (!both)
      throw new ConstraintError(keyword, 'schemas that hold beside each other say different things here, which is not supported')
    const value2 = both(before, value)
    if (value2 === undefined) return undefined
    whole.set(keyword, value2)
  }
  return Object.fromEntries(whole)
}

/** The only values that a flat schema allows, if it lists them. */
export function listed(schema: Schema): unknown[] | undefined {
  const values = 'const' in schema ? [schema.const] : schema.enum
  if (values === undefined) return undefined
  if (!Array.isArray(values) || values.length === 0)
    throw new ConstraintError('enum', 'it must be a list of values, and hold one')
  const all =
    'const' in schema && Array.isArray(schema.enum) ? schema.enum.filter((one) => isDeepStrictEqual(one, schema.const)) : values
  const { type } = schema
  if (type === undefined) return all
  const types = Array.isArray(type) ? type : [type]
  return all.filter((one) => {
    const its = typeOf(one)
    return types.includes(its) || (its === 'integer' && types.includes('number'))
  })
}

/** Whether no value is valid by both, as far as that can be seen. Both are flat. */
export function disjoint(root: unknown, a: Schema, b: Schema): boolean {
  const values = [listed(a), listed(b)]
  if (values[0] && values[1]) return !values[0].some((one) => values[1]?.some((other) => isDeepStrictEqual(one, other)))
  const types = [a, b].map((one) => typesOf(one))
  if (types[0] && types[1] && !types[0].some((one) => types[1]?.includes(one))) return true
  return commonNames(a, b).some((name) => {
    const [one, other] = [a, b].map((schema) => {
      const property = schemaAt((schema.properties as Schema)[name])
      return property && flatten(root, property)
    })
    return one && other && disjoint(root, one, other)
  })
}

/** Types of the values that are valid; undefined: of any. Whole numbers are numbers too. */
function typesOf(schema: Schema): string[] | undefined {
  const values = listed(schema)
  const types = values
    ? values.map(typeOf)
    : schema.type === undefined
      ? undefined
      : Array.isArray(schema.type)
        ? schema.type
        : [schema.type]
  return types?.map((type) => (type === 'integer' ? 'number' : String(type)))
}

/** Properties that both describe and demand. */
function commonNames(a: Schema, b: Schema): string[] {
  const demanded = ({ required, properties }: Schema) =>
    (Array.isArray(required) ? required : []).filter(
      (name): name is string =>
        typeof name === 'string' && typeof properties === 'object' && Object.hasOwn(properties as object, name),
    )
  const others = new Set(demanded(b))
  return demanded(a).filter((name) => others.has(name))
}
