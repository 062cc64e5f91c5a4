/** JSON Schema to EBNF. What is written is always valid by the schema; what it would allow beyond that (another order of members, say) is left out. */
import { ConstraintError, either, literal, Rules } from '../ebnf.ts'
import type { Regular } from '../regular/regular.ts'
import { written } from '../regular/write.ts'
import { itemsOf } from './arrays.ts'
import { placed, schemaAt, schemasAt } from './checked.ts'
import type { Facts, Item } from './facts.ts'
import { type Kind, keywordsOf } from './keywords.ts'
import { arrayOf, objectOf, otherName } from './members.ts'
import { integers, multiples, numbers, spellings } from './numbers.ts'
import { membersOf, type Values } from './objects.ts'
import { References } from './references.ts'
import { anyString, stringOf } from './strings.ts'
import { Checker, sameValue } from './values.ts'
import { Ways } from './ways.ts'

const INTEGER = '"-"? ("0" | [1-9] [0-9]{0,17})'
// Exponents of two digits: no number is infinite.
const NUMBER = `${INTEGER} ("." [0-9]{1,18})? ([eE] [+-]? [0-9]{1,2})?`

/** Nested schemas: each takes some stack. */
const MOST_DEPTH = 200
/** Times that a schema is begun anew because a part that refers to itself turned out to be impossible. */
const MOST_TIMES = 20

/** A value's rule, once it is needed before it is known. */
interface Begun {
  name: string | undefined
}

/** Something that others refer to by now is impossible: it is to be begun anew with that known. */
class Impossible extends Error {}

class SchemaGrammar implements Values {
  readonly rules = new Rules()
  readonly ways: Ways
  readonly checker: Checker
  private readonly root: unknown
  private readonly impossible: Set<string>
  private readonly known = new Map<string, string | undefined>()
  private readonly begun = new Map<string, Begun>()
  private anyRule: string | undefined
  /** Values of which this one is one by another's words alone. */
  private inPlace: ReadonlySet<string> = new Set()
  private depth = 0

  constructor(root: unknown, ways: Ways, impossible: Set<string>) {
    this.root = root
    this.impossible = impossible
    this.ways = ways
    this.checker = new Checker(ways.references)
  }

  text(): string {
    const rule = this.grammarOf([{ schema: schemaAt(this.root, ''), negated: false, at: '', trail: [], owners: [] }])
    if (rule === undefined) throw new ConstraintError('', 'nothing is valid by it')
    return this.rules.text(rule)
  }

  /** `true` as the whole: any object. */
  object(): string {
    return this.rules.text(this.anyObject(this.any()))
  }

  grammarOf(all: readonly Item[]): string | undefined {
    const items = all.filter(({ schema, negated }) => schema !== !negated)
    if (items.length === 0) return this.any()
    const key = this.ways.keyOf(items)
    if (this.known.has(key)) return this.known.get(key)
    if (this.impossible.has(key)) return undefined
    const open = this.begun.get(key)
    if (open) {
      if (this.inPlace.has(key)) throw new ConstraintError(items[0].at, 'it leads to itself')
      open.name ??= this.rules.reserve()
      return open.name
    }
    if (++this.depth > MOST_DEPTH) throw new ConstraintError(items[0].at, `it is nested more than ${MOST_DEPTH} deep`)
    const mine: Begun = { name: undefined }
    this.begun.set(key, mine)
    const body = this.bodyOf(items, key)
    this.begun.delete(key)
    this.depth--
    const rule = this.named(key, mine, body)
    this.known.set(key, rule)
    return rule
  }

  private named(key: string, { name }: Begun, body: string | undefined): string | undefined {
    if (name === undefined) return body
    if (body === undefined) {
      this.impossible.add(key)
      throw new Impossible()
    }
    this.rules.define(name, body)
    return name
  }

  private bodyOf(items: readonly Item[], key: string): string | undefined {
    const [item, ...others] = items
    const whole = others.length === 0 ? this.chosen(item) : undefined
    const around = this.inPlace
    try {
      this.inPlace = new Set(whole ? [...around, key] : [])
      return whole ? either(whole.map((one) => this.grammarOf([one]))) : this.allOf(items)
    } finally {
      this.inPlace = around
    }
  }

  private allOf(items: readonly Item[]): string | undefined {
    const found = this.ways.of(items)
    const listed = found.flatMap(({ values }) => values ?? [])
    const values = listed.filter((value, i) => listed.findIndex((one) => sameValue(one, value)) === i)
    return either([
      ...values.filter((value) => this.checker.keeps(value, items)).map((value) => this.constant(value)),
      ...found.filter(({ values }) => values === undefined).flatMap((facts) => this.written(facts)),
    ])
  }

  /** Where all that a schema says is which others it is to be valid by: these. */
  private chosen(item: Item): Item[] | undefined {
    const { schema, negated } = item
    if (typeof schema === 'boolean' || negated) return undefined
    const keywords = keywordsOf(schema)
    if (keywords.length !== 1) return undefined
    const [keyword] = keywords
    const branches = () => schemasAt(schema[keyword], `${item.at}${item.at && '.'}${keyword}`)
    const as = (one: unknown, i: number) => this.ways.sameValue(item, one, `${item.at}${item.at && '.'}${keyword}.${i}`)
    // They stand alone from here on: what leads to itself without a value between is found by their own ways.
    const alone = (one: Item): Item => ({ ...one, trail: [], owners: [] })
    if (keyword === '$ref') {
      this.ways.of([item])
      return [alone(this.ways.referred(item, false))]
    }
    if (keyword === 'anyOf') return branches().map((one, i) => alone(as(one, i)))
    if (keyword !== 'oneOf') return undefined
    const { demanded, excluded } = this.ways.parted(item, schema.oneOf)
    if (demanded !== undefined || excluded.some((others) => others.length > 0)) return undefined
    return branches().map((one, i) => alone(as(one, i)))
  }

  private written(facts: Facts): (string | undefined)[] {
    const { kinds, typed, spoken } = facts
    // Where no type is said: those that keywords speak of.
    const meant = typed || spoken.size === 0 ? [...kinds] : [...kinds].filter((kind) => spoken.has(kind))
    if (!typed && spoken.size === 0 && meant.length === 6 && facts.unlike.length === 0) return [this.any()]
    return meant.map((kind) => this.ofKind(kind, facts))
  }

  private ofKind(kind: Kind, facts: Facts): string | undefined {
    const { unlike } = facts
    switch (kind) {
      case 'null':
        return unlike.some(({ value }) => value === null) ? undefined : '"null"'
      case 'boolean':
        return either([true, false].filter((value) => !unlike.some((one) => one.value === value)).map((value) => `"${value}"`))
      case 'string':
        return stringOf(this.rules, facts)
      case 'number':
        return this.numberOf(facts)
      default: {
        const nested = unlike.find(
          ({ value }) => typeof value === 'object' && value !== null && Array.isArray(value) === (kind === 'array'),
        )
        if (nested) throw new ConstraintError(nested.at, `that a value must not be a certain ${kind} is not supported`)
        return kind === 'array' ? itemsOf(this, facts, (value) => this.constant(value)) : membersOf(this, facts)
      }
    }
  }

  private numberOf({ integer, bounds, steps, unlike }: Facts): string | undefined {
    const others = unlike.filter(({ value }) => typeof value === 'number')
    const bounded = bounds.low !== undefined || bounds.high !== undefined
    if (!bounded && steps.length === 0 && others.length === 0) return this.rules.rule(integer ? INTEGER : NUMBER)
    const kept = bounded
      ? placed((bounds.lowAt ?? bounds.highAt) as string, () => (integer ? integers(bounds) : numbers(bounds)))
      : integer
        ? integers({})
        : numbers({})
    const all: Regular[] = [kept]
    for (const { step, holds, at } of steps) {
      // Whole numbers are multiples of 1, and of nothing smaller that is not said otherwise.
      if (integer && step === 1 && holds) continue
      const one = placed(at, () => multiples(step))
      all.push(holds ? one : { kind: 'not', what: one })
    }
    for (const { value } of others) all.push({ kind: 'not', what: spellings(value as number) })
    const place = steps[0]?.at ?? others[0]?.at ?? ''
    const body = placed(place, () => written(all.length === 1 ? kept : { kind: 'and', of: all }, 'plain', this.rules))
    return body && this.rules.rule(body)
  }

  /** A value as it stands, with white space as anywhere. */
  private constant(value: unknown): string {
    const { rules } = this
    if (Array.isArray(value)) {
      const { length } = value
      return arrayOf(
        rules,
        value.map((one) => this.constant(one)),
        undefined,
        length,
        length,
      ) as string
    }
    if (typeof value !== 'object' || value === null) return literal(JSON.stringify(value))
    const members = Object.entries(value).map(([name, one]) => ({ name, required: true, value: this.constant(one) }))
    return objectOf(rules, members, [], { least: 0, most: undefined }) as string
  }

  /** Any JSON value. */
  private any(): string {
    if (this.anyRule !== undefined) return this.anyRule
    const name = this.rules.reserve()
    this.anyRule = name
    const array = arrayOf(this.rules, [], name, 0, undefined) as string
    const number = this.rules.rule(NUMBER)
    this.rules.define(
      name,
      [this.anyObject(name), array, anyString(this.rules), number, '"true"', '"false"', '"null"'].join(' | '),
    )
    return name
  }

  private anyObject(value: string): string {
    return objectOf(this.rules, [], [{ key: otherName(this.rules, []), value }], { least: 0, most: undefined }) as string
  }
}

/** EBNF of the JSON that is valid by a schema; `true`: of any JSON object. Throws ConstraintError, which names keyword and place. */
export function schemaToEbnf(schema: object | boolean): string {
  const ways = new Ways(new References(schema))
  const impossible = new Set<string>()
  if (schema === true) return new SchemaGrammar(schema, ways, impossible).object()
  for (let times = 0; times < MOST_TIMES; times++) {
    try {
      return new SchemaGrammar(schema, ways, impossible).text()
    } catch (error) {
      if (!(error instanceof Impossible)) throw error
    }
  }
  throw new ConstraintError('', 'too many parts of it that refer to themselves are impossible')
}
