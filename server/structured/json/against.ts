/** Ways in which a value is not valid by a schema: one for each keyword that may be what it fails at. */
import { ConstraintError } from '../ebnf.ts'
import * as checked from './checked.ts'
import { within } from './checked.ts'
import { absent, dependencies } from './dependencies.ts'
import type { Facts, Item } from './facts.ts'
import * as facts from './facts.ts'
import { KINDS, keywordsOf, type Schema } from './keywords.ts'
import { FORMATS } from './strings.ts'
import type { Turning, Way } from './turning.ts'
import { listed } from './values.ts'

interface Failing {
  ways: Turning
  item: Item
  schema: Schema
  facts: Facts
  at: string
}

type Fail = (failing: Failing, value: unknown) => (Facts | Way)[]

const cannot = (
  at: string,
  why = 'it is not supported where it must not hold (within not, if, or a oneOf whose schemas overlap)',
) => new ConstraintError(at, why)

const refuse: Fail = ({ at }) => {
  throw cannot(at)
}

const innerNot = (schema: unknown, at: string): Item => ({
  schema: checked.schemaAt(schema, at),
  negated: true,
  at,
  trail: [],
  owners: [],
})

const unlike: (values: (value: unknown, at: string) => readonly unknown[]) => Fail = (values) => (failing, value) => {
  const { facts: all, at } = failing
  return [{ ...all, unlike: [...all.unlike, ...values(value, at).map((one) => ({ value: one, at }))] }]
}

const FAILS: Record<string, Fail> = {
  type: ({ facts: all, at }, value) => {
    const types = checked.typesAt(value, at)
    const others = KINDS.filter((kind) => !types.includes(kind) && !(kind === 'number' && types.includes('integer')))
    const odd = types.includes('integer') && !types.includes('number')
    const fractions = { ...facts.only(all, 'number'), steps: [...all.steps, { step: 1, holds: false, at }] }
    return [facts.only(all, ...others), ...(odd ? [fractions] : [])]
  },
  enum: unlike((value, at) => listed(checked.valuesAt(value, at))),
  const: unlike((value) => [value]),
  minimum: ({ facts: all, at }, value) => [facts.atMost(facts.only(all, 'number'), checked.numberAt(value, at), true, at)],
  exclusiveMinimum: ({ facts: all, at }, value) => [
    facts.atMost(facts.only(all, 'number'), checked.numberAt(value, at), false, at),
  ],
  maximum: ({ facts: all, at }, value) => [facts.atLeast(facts.only(all, 'number'), checked.numberAt(value, at), true, at)],
  exclusiveMaximum: ({ facts: all, at }, value) => [
    facts.atLeast(facts.only(all, 'number'), checked.numberAt(value, at), false, at),
  ],
  multipleOf: ({ facts: all, at }, value) => [
    { ...facts.only(all, 'number'), steps: [...all.steps, { step: checked.stepAt(value, at), holds: false, at }] },
  ],
  minLength: ({ facts: all, at }, value) =>
    below(checked.countAt(value, at), (most) => facts.shorter(facts.only(all, 'string'), most)),
  maxLength: ({ facts: all, at }, value) => [facts.longer(facts.only(all, 'string'), checked.countAt(value, at) + 1)],
  pattern: ({ facts: all, at }, value) => [
    { ...facts.only(all, 'string'), patterns: [...all.patterns, { source: checked.stringAt(value, at), holds: false, at }] },
  ],
  format: (failing, value) => (Object.hasOwn(FORMATS, String(value)) ? refuse(failing, value) : []),
  required: ({ facts: all, at }, value) => checked.namesAt(value, at).map((name) => absent(all, name, at)),
  properties: ({ facts: all, at }, value) =>
    checked.named(value, at).map(([name, schema]) => {
      const named = new Map([[name, innerNot(schema, within(at, name))]])
      return facts.saying(facts.demanding(facts.only(all, 'object'), [name]), { named, owners: [] })
    }),
  additionalProperties: (failing, value) => (value === true ? [] : refuse(failing, value)),
  patternProperties: refuse,
  propertyNames: (failing, value) => (value === true ? [] : refuse(failing, value)),
  minProperties: ({ facts: all, at }, value) =>
    below(checked.countAt(value, at), (most) => facts.fewerMembers(facts.only(all, 'object'), most)),
  maxProperties: ({ facts: all, at }, value) => [
    facts.moreMembers(facts.only(all, 'object'), checked.countAt(value, at) + 1, at),
  ],
  items: ({ facts: all, at, schema }, value) => {
    if (Array.isArray(value)) return tuple(all, value, at)
    if (value === true) return []
    if (schema.prefixItems !== undefined) throw cannot(at)
    return [containing(all, innerNot(value, at), 1, undefined, at)]
  },
  prefixItems: ({ facts: all, at }, value) => tuple(all, value, at),
  additionalItems: (failing, value) => (value === true || !Array.isArray(failing.schema.items) ? [] : refuse(failing, value)),
  minItems: ({ facts: all, at }, value) =>
    below(checked.countAt(value, at), (most) => facts.fewerItems(facts.only(all, 'array'), most)),
  maxItems: ({ facts: all, at }, value) => [facts.moreItems(facts.only(all, 'array'), checked.countAt(value, at) + 1)],
  uniqueItems: (failing, value) => (value === false ? [] : refuse(failing, value)),
  contains: ({ facts: all, at, schema, item }, value) => {
    const { least, most } = checked.containedCounts(schema, item.at)
    const found: Item = { ...innerNot(value, at), negated: false }
    return [
      ...below(least, (fewer) => containing(all, found, 0, fewer, at)),
      ...(most === undefined ? [] : [containing(all, found, most + 1, undefined, at)]),
    ]
  },
  minContains: () => [],
  maxContains: () => [],
  unevaluatedItems: (failing, value) => (value === true ? [] : refuse(failing, value)),
  unevaluatedProperties: (failing, value) => (value === true ? [] : refuse(failing, value)),
  allOf: ({ ways, item, facts: all, at }, value) =>
    checked.schemasAt(value, at).map((one, i) => ({ facts: all, items: [ways.sameValue(item, one, `${at}.${i}`, true)] })),
  anyOf: ({ ways, item, facts: all, at }, value) => [
    { facts: all, items: checked.schemasAt(value, at).map((one, i) => ways.sameValue(item, one, `${at}.${i}`, true)) },
  ],
  oneOf: ({ ways, item, facts: all, at }, value) => {
    const branches = checked.schemasAt(value, at)
    const as = (i: number, negated: boolean) => ways.sameValue(item, branches[i], `${at}.${i}`, negated)
    const none: Way = { facts: all, items: branches.map((_, i) => as(i, true)) }
    const two = branches.flatMap((_, i) =>
      branches.slice(i + 1).map((_, j) => ({ facts: all, items: [as(i, false), as(i + 1 + j, false)] })),
    )
    return [none, ...two]
  },
  not: ({ ways, item, facts: all, at }, value) => [{ facts: all, items: [ways.sameValue(item, value, at)] }],
  if: ({ ways, item, facts: all, at, schema }, value) => {
    const way = (keyword: 'then' | 'else') => ({
      facts: all,
      items: [
        ways.sameValue(item, value, at, keyword === 'else'),
        ways.sameValue(item, schema[keyword], within(item.at, keyword), true),
      ],
    })
    return (['then', 'else'] as const).filter((keyword) => schema[keyword] !== undefined).map(way)
  },
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  then: () => [],
  else: () => [],
  $ref: ({ ways, item, facts: all, schema, at }) => {
    if (ways.references.alone && keywordsOf(schema).length > 1)
      throw cannot(at, 'it is not supported beside other keywords where it must not hold')
    return [{ facts: all, items: [ways.referred(item, true)] }]
  },
  dependentRequired: dependent,
  dependentSchemas: dependent,
  dependencies: dependent,
}

/** All three are told by one of them. */
function dependent({ ways, item, facts: all, schema, at }: Failing): Way[] {
  const first = (['dependentRequired', 'dependentSchemas', 'dependencies'] as const).find((keyword) => keyword in schema)
  if (at !== within(item.at, first as string)) return []
  return dependencies(schema, item.at).flatMap(({ name, names, schema: one, at }) => {
    const present = facts.demanding(facts.only(all, 'object'), [name])
    if (one !== undefined) return [{ facts: present, items: [ways.sameValue(item, one, at, true)] }]
    return (names ?? []).map((other) => ({ facts: absent(present, other, at), items: [] }))
  })
}

const below = <T>(count: number, fewer: (most: number) => T): T[] => (count === 0 ? [] : [fewer(count - 1)])

function tuple(all: Facts, value: unknown, at: string): Facts[] {
  if (!Array.isArray(value)) throw new ConstraintError(at, 'it must be a list of schemas')
  const any: Item = { schema: true, negated: false, at, trail: [], owners: [] }
  return value.map((one, i) => {
    const first = [...Array.from({ length: i }, () => any), innerNot(one, `${at}.${i}`)]
    const longer = facts.moreItems(facts.only(all, 'array'), i + 1)
    return { ...longer, items: [...longer.items, { first, rest: undefined, owners: [] }] }
  })
}

function containing(all: Facts, item: Item, least: number, most: number | undefined, at: string): Facts {
  const arrays = facts.only(all, 'array')
  return { ...arrays, contains: [...arrays.contains, { item, least, most, at }] }
}

/** Without a keyword there is no way: everything is valid by it. */
export function against(ways: Turning, item: Item, all: Facts): Way[] {
  const schema = item.schema as Schema
  return keywordsOf(schema).flatMap((keyword) => {
    if (!Object.hasOwn(FAILS, keyword)) return []
    const at = within(item.at, keyword)
    return FAILS[keyword]({ ways, item, schema, facts: all, at }, schema[keyword]).map((one) =>
      'items' in one && 'facts' in one ? (one as Way) : { facts: one as Facts, items: [] },
    )
  })
}
