/** JSON Schema to EBNF. What is written is always valid by the schema; what it would allow beyond that (another order of members, say) is left out. */
import { ConstraintError, either, literal, Rules } from '../ebnf.ts'
import { disjoint, flatten, isReference, join, listed, pointed, said, schemaAt } from './flatten.ts'
import { OF_TYPE, type Schema, TYPES, type Type } from './keywords.ts'
import { arrayOf, type Member, objectOf, space } from './members.ts'
import { integers, numbers } from './numbers.ts'
import { anyString, inside, stringOf } from './strings.ts'

const INTEGER = '"-"? ("0" | [1-9] [0-9]{0,17})'
// Exponents of two digits: no number is infinite.
const NUMBER = `${INTEGER} ("." [0-9]{1,18})? ([eE] [+-]? [0-9]{1,2})?`

/** Nested schemas: each takes some stack. */
const MOST_DEPTH = 200

class SchemaGrammar {
  private readonly rules = new Rules()
  private readonly root: unknown
  private readonly references = new Map<unknown, string>()
  private depth = 0

  constructor(root: unknown) {
    this.root = root
  }

  text(): string {
    const rule = this.valueOf(this.root)
    if (rule === undefined) throw new ConstraintError('', 'nothing is valid by it')
    return this.rules.text(rule)
  }

  /** An expression for the values that are valid; undefined: none is. */
  private valueOf(at: unknown): string | undefined {
    if (++this.depth > MOST_DEPTH) throw new ConstraintError('', `it is nested more than ${MOST_DEPTH} deep`)
    try {
      const schema = schemaAt(at)
      if (!schema) return undefined
      const own = said(schema)
      return isReference(own) ? this.reference(own.$ref) : this.flat(flatten(this.root, schema))
    } finally {
      this.depth--
    }
  }

  /** A rule for each, so that what names itself ends. */
  private reference($ref: unknown): string | undefined {
    const known = this.references.get($ref)
    if (known) return known
    flatten(this.root, { $ref })
    const target = inside('$ref', () => schemaAt(pointed(this.root, $ref)))
    if (!target) return undefined
    const name = this.rules.reserve()
    this.references.set($ref, name)
    const body = inside(`$ref(${String($ref)})`, () => this.valueOf(target))
    // Others may name the rule by now: they would be as impossible, which is said here.
    if (body === undefined) throw new ConstraintError('$ref', `nothing is valid by ${String($ref)}`)
    this.rules.define(name, body)
    return name
  }

  private flat(schema: Schema | undefined): string | undefined {
    if (!schema) return undefined
    for (const keyword of ['anyOf', 'oneOf'] as const)
      if (schema[keyword] !== undefined) {
        const { [keyword]: branches, ...rest } = schema
        return this.branches(keyword, branches, rest)
      }
    const values = listed(schema)
    if (values) {
      for (const keywords of Object.values(OF_TYPE))
        for (const keyword of keywords)
          if (keyword in schema)
            throw new ConstraintError(keyword, 'it is not supported beside enum or const; leave out the values that it forbids')
      return either(values.map((value) => this.constant(value)))
    }
    return either(this.typesOf(schema).map((type) => this.typed(type, schema)))
  }

  private branches(keyword: 'anyOf' | 'oneOf', branches: unknown, rest: Schema): string | undefined {
    if (!Array.isArray(branches) || branches.length === 0)
      throw new ConstraintError(keyword, 'it must be a list of schemas, and hold one')
    const all = branches.map((branch, i) =>
      inside(`${keyword}.${i}`, () => {
        const schema = schemaAt(branch)
        if (!schema) return undefined
        const flat = flatten(this.root, schema)
        return flat && join(rest, flat)
      }),
    )
    const flats = keyword === 'oneOf' ? this.apart(all) : all
    const bare = flats === all && Object.keys(rest).length === 0
    return either(
      branches.map((branch, i) =>
        inside(`${keyword}.${i}`, () => {
          if (bare) return this.valueOf(branch)
          const flat = flats[i]
          return flat && this.flat(flatten(this.root, flat))
        }),
      ),
    )
  }

  /**
   * Schemas of which a value is valid by one alone: those of oneOf as they are, or, where a property tells them apart and may be missing (a union's kind that has a default), with it.
   * Throws ConstraintError where neither can be seen.
   */
  private apart(flats: readonly (Schema | undefined)[]): readonly (Schema | undefined)[] {
    const excluding = (schemas: readonly (Schema | undefined)[]) =>
      schemas.every((one, i) => schemas.slice(i + 1).every((other) => !one || !other || disjoint(this.root, one, other)))
    if (excluding(flats)) return flats
    const first = flats.find((one) => one?.properties !== undefined)
    for (const name of Object.keys((first?.properties ?? {}) as object)) {
      const demanding = flats.map(
        (one) => one && { ...one, required: [...((one.required as unknown[] | undefined) ?? []), name] },
      )
      if (excluding(demanding)) return demanding
    }
    throw new ConstraintError(
      'oneOf',
      'it is supported where its schemas exclude each other by their types, or by a property with another const in each; use anyOf',
    )
  }

  /** A value as it stands, with white space as anywhere. */
  private constant(value: unknown): string {
    const ws = space(this.rules)
    if (Array.isArray(value))
      return value.length === 0
        ? `"[" ${ws} "]"`
        : `"[" ${ws} ${value.map((one) => this.constant(one)).join(` ${ws} "," ${ws} `)} ${ws} "]"`
    if (typeof value !== 'object' || value === null) return literal(JSON.stringify(value))
    const members = Object.entries(value).map(
      ([name, one]) => `${literal(JSON.stringify(name))} ${ws} ":" ${ws} ${this.constant(one)}`,
    )
    return members.length === 0 ? `"{" ${ws} "}"` : `"{" ${ws} ${members.join(` ${ws} "," ${ws} `)} ${ws} "}"`
  }

  /** Where the schema does not say it: the types that its keywords speak of, or all. */
  private typesOf(schema: Schema): Type[] {
    const { type } = schema
    if (type === undefined) {
      const spoken = Object.keys(OF_TYPE).filter((one) => OF_TYPE[one].some((keyword) => keyword in schema)) as Type[]
      return spoken.length > 0 ? spoken : ['object', 'array', 'string', 'number', 'boolean', 'null']
    }
    const types = Array.isArray(type) ? type : [type]
    const odd = types.find((one) => !TYPES.includes(one as Type))
    if (types.length === 0 || odd !== undefined)
      throw new ConstraintError('type', `it must be ${TYPES.join(', ')}, or a list of these`)
    return types.includes('number') ? (types.filter((one) => one !== 'integer') as Type[]) : (types as Type[])
  }

  private typed(type: Type, schema: Schema): string | undefined {
    switch (type) {
      case 'null':
        return '"null"'
      case 'boolean':
        return '("true" | "false")'
      case 'string':
        return this.stringOf(schema)
      case 'integer':
      case 'number':
        return this.numberOf(type, schema)
      case 'array':
        return this.arrayOf(schema)
      case 'object':
        return this.objectOf(schema)
    }
  }

  private stringOf(schema: Schema): string | undefined {
    const { minLength, maxLength, pattern, format } = schema
    for (const [keyword, value] of Object.entries({ pattern, format }))
      if (value !== undefined && typeof value !== 'string') throw new ConstraintError(keyword, 'it must be a string')
    return stringOf(this.rules, {
      minLength: count('minLength', minLength),
      maxLength: count('maxLength', maxLength),
      pattern: pattern as string | undefined,
      format: format as string | undefined,
    })
  }

  private numberOf(type: 'integer' | 'number', schema: Schema): string | undefined {
    const bound = (keyword: string) => {
      const value = schema[keyword]
      if (value === undefined) return undefined
      if (typeof value !== 'number') throw new ConstraintError(keyword, 'it must be a number')
      return value
    }
    const [low, high, above, below] = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'].map(bound)
    if (low === undefined && high === undefined && above === undefined && below === undefined)
      return this.rules.rule(type === 'integer' ? INTEGER : NUMBER)
    const aboveLow = above !== undefined && above >= (low ?? above)
    const belowHigh = below !== undefined && below <= (high ?? below)
    const bounds = { low: aboveLow ? above : low, high: belowHigh ? below : high, aboveLow, belowHigh }
    const keyword =
      bounds.low === undefined ? (belowHigh ? 'exclusiveMaximum' : 'maximum') : aboveLow ? 'exclusiveMinimum' : 'minimum'
    const body = inside(keyword, () => (type === 'integer' ? integers(bounds) : numbers(bounds)))
    return body && this.rules.rule(body)
  }

  private arrayOf(schema: Schema): string | undefined {
    const least = count('minItems', schema.minItems) ?? 0
    const most = count('maxItems', schema.maxItems)
    if (most !== undefined && least > most) return undefined
    // Draft 7 says a tuple by items and additionalItems.
    const tuple = Array.isArray(schema.items) ? 'items' : 'prefixItems'
    const prefix = schema[tuple]
    if (prefix !== undefined && !Array.isArray(prefix)) throw new ConstraintError(tuple, 'it must be a list of schemas')
    const first = (prefix ?? []).map((one, i) => inside(`${tuple}.${i}`, () => this.valueOf(one)))
    const restAt = tuple === 'items' ? 'additionalItems' : 'items'
    const said = schema[restAt] ?? prefix === undefined
    const reached = most === undefined || most > first.length
    const rest = reached ? inside(restAt, () => (said === true ? this.any() : this.valueOf(said))) : undefined
    return arrayOf(this.rules, first, rest, least, most)
  }

  private objectOf(schema: Schema): string | undefined {
    const { properties = {}, required = [], additionalProperties } = schema
    if (typeof properties !== 'object' || properties === null || Array.isArray(properties))
      throw new ConstraintError('properties', 'it must be an object of schemas')
    if (!Array.isArray(required) || required.some((name) => typeof name !== 'string'))
      throw new ConstraintError('required', 'it must be a list of names')
    const named = Object.keys(properties)
    // Where no member is named, any may come; where some are, only these, unless the schema says more: so do vLLM and OpenAI.
    const said = additionalProperties ?? (named.length === 0 && required.length === 0)
    const additional = () => inside('additionalProperties', () => (said === true ? this.any() : this.valueOf(said)))
    const members: Member[] = named.map((name) => ({
      name,
      required: required.includes(name),
      value: inside(`properties.${name}`, () => this.valueOf((properties as Schema)[name])),
    }))
    for (const name of new Set(required as string[])) {
      if (named.includes(name)) continue
      const value = additionalProperties === undefined ? this.any() : additional()
      members.push({ name, required: true, value })
    }
    const demanded = members.filter((one) => one.required).length
    const least = count('minProperties', schema.minProperties) ?? 0
    if (least > Math.max(1, demanded))
      throw new ConstraintError('minProperties', `it is supported up to the number of required properties (${demanded}), or 1`)
    const value = said === false ? undefined : additional()
    const most = count('maxProperties', schema.maxProperties)
    if (most !== undefined && most < members.length)
      throw new ConstraintError('maxProperties', `it is supported from the number of named properties (${members.length}) on`)
    const others = value === undefined ? undefined : { value, most: most === undefined ? undefined : most - members.length }
    return objectOf(this.rules, members, others, least > 0)
  }

  /** Any JSON value. */
  private any(): string {
    const known = this.references.get(this.references)
    if (known) return known
    const name = this.rules.reserve()
    this.references.set(this.references, name)
    const object = objectOf(this.rules, [], { value: name }, false) as string
    const array = arrayOf(this.rules, [], name, 0, undefined) as string
    const number = this.rules.rule(NUMBER)
    this.rules.define(name, [object, array, anyString(this.rules), number, '"true"', '"false"', '"null"'].join(' | '))
    return name
  }

  /** `true` as the whole: any object. */
  object(): string {
    this.any()
    return this.rules.text(objectOf(this.rules, [], { value: this.any() }, false) as string)
  }
}

/** A keyword's value that counts something. */
function count(keyword: string, value: unknown): number | undefined {
  if (value === undefined) return undefined
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
  throw new ConstraintError(keyword, 'it must be a whole number of 0 or more')
}

/** EBNF of the JSON that is valid by a schema; `true`: of any JSON object. Throws ConstraintError, which names keyword and place. */
export function schemaToEbnf(schema: object | boolean): string {
  return schema === true ? new SchemaGrammar({}).object() : new SchemaGrammar(schema).text()
}
