/** What a schema's own keywords say of a value, without those that name other schemas of the same value. */
import { ConstraintError } from '../ebnf.ts'
import * as checked from './checked.ts'
import { within } from './checked.ts'
import type { Facts, Item } from './facts.ts'
import * as facts from './facts.ts'
import type { Kind, Schema } from './keywords.ts'
import { listed, sameValue } from './values.ts'

/** Who says it: `where` it stands, and with this schema's number last in `owners`. */
interface Speaker {
  schema: Schema
  where: string
  owners: readonly number[]
}

type Say = (facts: Facts, value: unknown, at: string, speaker: Speaker) => Facts

const inner = (schema: unknown, at: string): Item => ({
  schema: checked.schemaAt(schema, at),
  negated: false,
  at,
  trail: [],
  owners: [],
})

/** Keywords of every value. */
const OF_ANY: Record<string, Say> = {
  type: (all, value, at) => {
    const types = checked.typesAt(value, at)
    const integer = types.includes('integer') && !types.includes('number')
    const kinds = types.map((type) => (type === 'integer' ? 'number' : type) as Kind)
    return { ...facts.only(all, ...kinds), integer: all.integer || integer }
  },
  enum: (all, value, at) => ({ ...all, values: common(all.values, listed(checked.valuesAt(value, at))) }),
  const: (all, value) => ({ ...all, values: common(all.values, [value]) }),
}

const common = (known: readonly unknown[] | undefined, values: readonly unknown[]) =>
  known ? known.filter((one) => values.some((other) => sameValue(one, other))) : values

/** Keywords of values of one kind, which say nothing of others. */
const OF_KIND: Record<Exclude<Kind, 'boolean' | 'null'>, Record<string, Say>> = {
  number: {
    minimum: (all, value, at) => facts.atLeast(all, checked.numberAt(value, at), false, at),
    maximum: (all, value, at) => facts.atMost(all, checked.numberAt(value, at), false, at),
    exclusiveMinimum: (all, value, at) => facts.atLeast(all, checked.numberAt(value, at), true, at),
    exclusiveMaximum: (all, value, at) => facts.atMost(all, checked.numberAt(value, at), true, at),
    multipleOf: (all, value, at) => ({ ...all, steps: [...all.steps, { step: checked.stepAt(value, at), holds: true, at }] }),
  },
  string: {
    minLength: (all, value, at) => facts.longer(all, checked.countAt(value, at)),
    maxLength: (all, value, at) => facts.shorter(all, checked.countAt(value, at)),
    pattern: (all, value, at) => ({
      ...all,
      patterns: [...all.patterns, { source: checked.stringAt(value, at), holds: true, at }],
    }),
    format: (all, value, at) => ({ ...all, formats: [...all.formats, { name: checked.stringAt(value, at), at }] }),
  },
  array: {
    minItems: (all, value, at) => facts.moreItems(all, checked.countAt(value, at)),
    maxItems: (all, value, at) => facts.fewerItems(all, checked.countAt(value, at)),
    uniqueItems: (all, value, at) => {
      if (typeof value !== 'boolean') throw new ConstraintError(at, 'it must be true or false')
      return value ? { ...all, unique: at } : all
    },
    contains: (all, value, at, { schema, where }) => {
      const { least, most } = checked.containedCounts(schema, where)
      return { ...all, contains: [...all.contains, { item: inner(value, at), least, most, at }] }
    },
    unevaluatedItems: (all, value, at, { schema, owners }) => {
      if (schema.contains !== undefined) throw new ConstraintError(at, 'it is not supported beside contains')
      return {
        ...all,
        unevaluatedItems: [...all.unevaluatedItems, { item: inner(value, at), owner: owners.at(-1) as number, owners }],
      }
    },
  },
  object: {
    minProperties: (all, value, at) => facts.moreMembers(all, checked.countAt(value, at), at),
    maxProperties: (all, value, at) => facts.fewerMembers(all, checked.countAt(value, at)),
    required: (all, value, at) => facts.demanding(all, checked.namesAt(value, at)),
    propertyNames: (all, value, at) => ({ ...all, names: [...all.names, inner(value, at)] }),
    unevaluatedProperties: (all, value, at, { owners }) => ({
      ...all,
      unevaluatedMembers: [...all.unevaluatedMembers, { item: inner(value, at), owner: owners.at(-1) as number, owners }],
    }),
  },
}

/** Keywords that are said together, and speak of a kind as well. */
const TOGETHER: Partial<Record<Kind, readonly string[]>> = {
  array: ['items', 'prefixItems', 'additionalItems'],
  object: ['properties', 'patternProperties', 'additionalProperties', 'dependentRequired', 'dependentSchemas', 'dependencies'],
}

/** Throws ConstraintError for a keyword whose value cannot be. */
export function said(item: Item, schema: Schema, before: Facts, owners: readonly number[]): Facts {
  const speaker = { schema, where: item.at, owners }
  let all = before
  for (const [keyword, say] of Object.entries(OF_ANY))
    if (keyword in schema) all = say(all, schema[keyword], within(item.at, keyword), speaker)
  for (const [kind, keywords] of Object.entries(OF_KIND) as [Kind, Record<string, Say>][]) {
    const spoken = [...Object.keys(keywords), ...(TOGETHER[kind] ?? [])].some((keyword) => keyword in schema)
    if (!spoken) continue
    all = facts.speaking(all, kind)
    for (const [keyword, say] of Object.entries(keywords))
      if (keyword in schema) all = say(all, schema[keyword], within(item.at, keyword), speaker)
  }
  return withMembers(withItems(all, item, schema, owners), item, schema, owners)
}

/** Draft 7 says a tuple by items and additionalItems. */
function withItems(all: Facts, item: Item, schema: Schema, owners: readonly number[]): Facts {
  const tuple = Array.isArray(schema.items) ? 'items' : 'prefixItems'
  const others = tuple === 'items' ? 'additionalItems' : 'items'
  if (schema[tuple] === undefined && schema[others] === undefined) return all
  const first = schema[tuple] === undefined ? [] : list(schema[tuple], within(item.at, tuple))
  const rest = schema[others] === undefined ? undefined : inner(schema[others], within(item.at, others))
  return { ...all, items: [...all.items, { first, rest, owners }] }
}

function list(value: unknown, at: string): Item[] {
  if (!Array.isArray(value)) throw new ConstraintError(at, 'it must be a list of schemas')
  return value.map((one, i) => inner(one, `${at}.${i}`))
}

function withMembers(all: Facts, item: Item, schema: Schema, owners: readonly number[]): Facts {
  const { properties, patternProperties, additionalProperties, required } = schema
  if ([properties, patternProperties, additionalProperties, required].every((value) => value === undefined)) return all
  const at = (keyword: string, name: string) => within(within(item.at, keyword), name)
  const own = properties === undefined ? [] : checked.named(properties, within(item.at, 'properties'))
  const patterned = patternProperties === undefined ? [] : checked.named(patternProperties, within(item.at, 'patternProperties'))
  return facts.saying(all, {
    named: new Map(own.map(([name, value]) => [name, inner(value, at('properties', name))])),
    patterns: patterned.map(([source, value]) => {
      const place = at('patternProperties', source)
      return { source, at: place, item: inner(value, place) }
    }),
    rest: additionalProperties === undefined ? undefined : inner(additionalProperties, within(item.at, 'additionalProperties')),
    names: own.length > 0 || patterned.length > 0 || (Array.isArray(required) && required.length > 0),
    owners,
  })
}
