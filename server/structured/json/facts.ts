/** What is known of values that are valid: one of the ways in which a schema can be kept to, without choices between schemas in it. */
import type { Schema } from './keywords.ts'
import { KINDS, type Kind } from './keywords.ts'
import type { Bounds } from './numbers.ts'

/** A schema that a value must be valid by, or must not. */
export interface Item {
  schema: Schema | boolean
  negated: boolean
  /** Its place, for errors. */
  at: string
  /** Numbers of the schemas that say it of the same value, from the outermost on. */
  trail: readonly number[]
  /** Those of them that it is a part of: what it says of members they have said as well, which is not so within what must not hold. */
  owners: readonly number[]
}

/** What one schema says of an object's members. */
export interface Members {
  named: ReadonlyMap<string, Item>
  patterns: readonly { source: string; at: string; item: Item }[]
  /** Of all others; undefined: it does not say. */
  rest: Item | undefined
  /** It names members as something that is to be, so that others are left out unless it says of them. */
  names: boolean
  owners: readonly number[]
}

/** What one schema says of an array's items. */
export interface Items {
  first: readonly Item[]
  rest: Item | undefined
  owners: readonly number[]
}

/** Of members, or items, of which no schema that `owner` consists of says anything. */
export interface Unevaluated {
  item: Item
  owner: number
  /** Of the schema that says so: its own number last. */
  owners: readonly number[]
}

export interface Contained {
  item: Item
  least: number
  most: number | undefined
  at: string
}

export interface Facts {
  kinds: ReadonlySet<Kind>
  /** Whether a schema has said them. */
  typed: boolean
  /** Kinds that keywords speak of. */
  spoken: ReadonlySet<Kind>
  integer: boolean
  /** The only ones; undefined: it is not said. */
  values: readonly unknown[] | undefined
  unlike: readonly { value: unknown; at: string }[]
  bounds: Bounds & { lowAt?: string; highAt?: string }
  steps: readonly { step: number; holds: boolean; at: string }[]
  minLength: number
  maxLength: number | undefined
  patterns: readonly { source: string; holds: boolean; at: string }[]
  formats: readonly { name: string; at: string }[]
  members: readonly Members[]
  required: ReadonlySet<string>
  minProperties: number
  minPropertiesAt: string
  maxProperties: number | undefined
  names: readonly Item[]
  unevaluatedMembers: readonly Unevaluated[]
  items: readonly Items[]
  minItems: number
  maxItems: number | undefined
  /** Where it is said; undefined: items may be alike. */
  unique: string | undefined
  contains: readonly Contained[]
  unevaluatedItems: readonly Unevaluated[]
}

export const ANY: Facts = {
  kinds: new Set(KINDS),
  typed: false,
  spoken: new Set(),
  integer: false,
  values: undefined,
  unlike: [],
  bounds: {},
  steps: [],
  minLength: 0,
  maxLength: undefined,
  patterns: [],
  formats: [],
  members: [],
  required: new Set(),
  minProperties: 0,
  minPropertiesAt: '',
  maxProperties: undefined,
  names: [],
  unevaluatedMembers: [],
  items: [],
  minItems: 0,
  maxItems: undefined,
  unique: undefined,
  contains: [],
  unevaluatedItems: [],
}

const smaller = (a: number | undefined, b: number) => (a === undefined ? b : Math.min(a, b))

/** `kind` alone, as the schema says in other words. */
export const only = (facts: Facts, ...kinds: readonly Kind[]): Facts => ({
  ...facts,
  typed: true,
  kinds: new Set(kinds.filter((kind) => facts.kinds.has(kind))),
})

export const speaking = (facts: Facts, kind: Kind): Facts => ({ ...facts, spoken: new Set([...facts.spoken, kind]) })

export function atLeast(facts: Facts, low: number, strict: boolean, lowAt: string): Facts {
  const { bounds } = facts
  const known = bounds.low !== undefined && (bounds.low > low || (bounds.low === low && (bounds.aboveLow || !strict)))
  return known ? facts : { ...facts, bounds: { ...bounds, low, aboveLow: strict, lowAt } }
}

export function atMost(facts: Facts, high: number, strict: boolean, highAt: string): Facts {
  const { bounds } = facts
  const known = bounds.high !== undefined && (bounds.high < high || (bounds.high === high && (bounds.belowHigh || !strict)))
  return known ? facts : { ...facts, bounds: { ...bounds, high, belowHigh: strict, highAt } }
}

export const longer = (facts: Facts, minLength: number): Facts => ({ ...facts, minLength: Math.max(facts.minLength, minLength) })
export const shorter = (facts: Facts, most: number): Facts => ({ ...facts, maxLength: smaller(facts.maxLength, most) })
export const moreItems = (facts: Facts, least: number): Facts => ({ ...facts, minItems: Math.max(facts.minItems, least) })
export const fewerItems = (facts: Facts, most: number): Facts => ({ ...facts, maxItems: smaller(facts.maxItems, most) })
export const moreMembers = (facts: Facts, least: number, at: string): Facts =>
  least > facts.minProperties ? { ...facts, minProperties: least, minPropertiesAt: at } : facts
export const fewerMembers = (facts: Facts, most: number): Facts => ({
  ...facts,
  maxProperties: smaller(facts.maxProperties, most),
})
export const demanding = (facts: Facts, names: readonly string[]): Facts => ({
  ...facts,
  required: new Set([...facts.required, ...names]),
})
export const saying = (facts: Facts, members: Partial<Members> & Pick<Members, 'owners'>): Facts => ({
  ...facts,
  members: [...facts.members, { named: new Map(), patterns: [], rest: undefined, names: false, ...members }],
})

/** Whether nothing can be valid by it, as far as that is seen at once. */
export const isImpossible = ({ kinds, values }: Facts): boolean => kinds.size === 0 || values?.length === 0
