/**
 * A schema as the ways in which it can be kept to, each without choices: anyOf, oneOf, if and not are ways of their own, references and allOf are said beside each other. What must
 * not be valid is turned inside out, keyword by keyword (against.ts).
 */
import { ConstraintError } from '../ebnf.ts'
import { against } from './against.ts'
import { apart, type Parting } from './apart.ts'
import { schemaAt, schemasAt, within } from './checked.ts'
import { absent, dependencies } from './dependencies.ts'
import { ANY, demanding, type Facts, type Item, isImpossible } from './facts.ts'
import { REFUSED, type Schema } from './keywords.ts'
import type { References } from './references.ts'
import { said } from './said.ts'
import type { Turning, Way } from './turning.ts'

/** Ways of one value. */
const MOST_WAYS = 512
/** Schemas that say it of the same value, one within the other. */
const MOST_TRAIL = 200

export class Ways implements Turning {
  readonly references: References
  private readonly ids = new WeakMap<object, number>()
  private readonly partings = new WeakMap<object, Parting>()
  private readonly known = new Map<string, readonly Facts[]>()
  private nextId = 2

  constructor(references: References) {
    this.references = references
  }

  /** A number for each schema; 0 and 1 are false and true. */
  idOf(schema: Schema | boolean): number {
    if (typeof schema === 'boolean') return Number(schema)
    const id = this.ids.get(schema) ?? this.nextId++
    this.ids.set(schema, id)
    return id
  }

  /** What is the same for items that say the same together. */
  keyOf(items: readonly Item[]): string {
    return [...new Set(items.map(({ schema, negated }) => `${negated ? '!' : ''}${this.idOf(schema)}`))].sort().join()
  }

  /** All ways to keep to all of these. Throws ConstraintError at a keyword that cannot be followed. */
  of(items: readonly Item[]): readonly Facts[] {
    const key = this.keyOf(items)
    const known = this.known.get(key) ?? this.found(items)
    this.known.set(key, known)
    return known
  }

  private found(items: readonly Item[]): readonly Facts[] {
    const done: Facts[] = []
    const open: (Way & { seen: ReadonlySet<string> })[] = [{ facts: ANY, items, seen: new Set() }]
    for (let way = open.pop(); way; way = open.pop()) {
      const [item, ...rest] = way.items
      if (!item) {
        done.push(way.facts)
        continue
      }
      const key = this.keyOf([item])
      // Who says it twice says it once.
      if (way.seen.has(key)) {
        open.push({ ...way, items: rest })
        continue
      }
      const seen = new Set([...way.seen, key])
      const next = this.step(item, way.facts).filter(({ facts }) => !isImpossible(facts))
      for (const { facts, items } of next.reverse()) open.push({ facts, items: [...items, ...rest], seen })
      if (open.length + done.length > MOST_WAYS)
        throw new ConstraintError(
          item.at,
          `schemas that hold beside each other leave more than ${MOST_WAYS} ways; say fewer at once`,
        )
    }
    return done
  }

  private step(item: Item, facts: Facts): Way[] {
    const { schema, negated, at } = item
    if (typeof schema === 'boolean') return schema === negated ? [] : [{ facts, items: [] }]
    if (item.trail.length > MOST_TRAIL) throw new ConstraintError(at, `it is nested more than ${MOST_TRAIL} deep`)
    for (const keyword of REFUSED)
      if (keyword in schema)
        throw new ConstraintError(
          within(at, keyword),
          'this keyword of JSON Schema is not supported: no answer can be held to it',
        )
    return negated ? against(this, item, facts) : this.kept(item, schema, facts)
  }

  /** A schema of the same value as `item` is. */
  sameValue(item: Item, schema: unknown, at: string, negated = false): Item {
    const id = this.idOf(item.schema)
    const owners = negated || item.negated ? [] : [...item.owners, id]
    return { schema: schemaAt(schema, at), negated, at, trail: [...item.trail, id], owners }
  }

  referred(item: Item, negated: boolean): Item {
    const schema = item.schema as Schema
    const at = within(item.at, '$ref')
    try {
      const found = this.references.find(schema, schema.$ref)
      const target = this.sameValue(item, found.schema, found.at ?? at, negated)
      if (target.trail.includes(this.idOf(target.schema))) throw new ConstraintError('', 'it leads to itself')
      return target
    } catch (error) {
      if (error instanceof ConstraintError && error.at === '') throw new ConstraintError(at, error.message)
      throw error
    }
  }

  private kept(item: Item, schema: Schema, before: Facts): Way[] {
    const at = (keyword: string | number) => within(item.at, keyword)
    const facts = said(item, schema, before, [...item.owners, this.idOf(schema)])
    const beside: Item[] = []
    if (schema.$ref !== undefined) beside.push(this.referred(item, false))
    if (schema.allOf !== undefined)
      for (const [i, one] of schemasAt(schema.allOf, at('allOf')).entries())
        beside.push(this.sameValue(item, one, `${at('allOf')}.${i}`))
    if (schema.not !== undefined) beside.push(this.sameValue(item, schema.not, at('not'), true))
    let ways: Way[] = [{ facts, items: beside }]
    const choose = (choices: readonly ((facts: Facts) => Way)[]) => {
      ways = ways.flatMap((way) =>
        choices.map((choice) => {
          const { facts, items } = choice(way.facts)
          return { facts, items: [...way.items, ...items] }
        }),
      )
      if (ways.length > MOST_WAYS) throw new ConstraintError(item.at, `it leaves more than ${MOST_WAYS} ways; say fewer at once`)
    }
    const also =
      (...items: readonly Item[]) =>
      (facts: Facts) => ({ facts, items })
    if (schema.anyOf !== undefined)
      choose(schemasAt(schema.anyOf, at('anyOf')).map((one, i) => also(this.sameValue(item, one, `${at('anyOf')}.${i}`))))
    if (schema.oneOf !== undefined) choose(this.alternatives(item, schema.oneOf))
    if (schema.if !== undefined && (schema.then !== undefined || schema.else !== undefined))
      choose([
        also(this.sameValue(item, schema.if, at('if')), this.sameValue(item, schema.then ?? true, at('then'))),
        also(this.sameValue(item, schema.if, at('if'), true), this.sameValue(item, schema.else ?? true, at('else'))),
      ])
    for (const { name, names, schema: dependent, at: place } of dependencies(schema, item.at)) {
      if (names?.length === 0 || dependent === true) continue
      const beside = dependent === undefined ? [] : [this.sameValue(item, dependent, place)]
      choose([
        (facts) => ({ facts: absent(facts, name, place), items: [] }),
        (facts) => ({ facts: demanding(facts, [name, ...(names ?? [])]), items: beside }),
        // What is no object has no such member.
        (facts) => ({ facts: { ...facts, kinds: new Set([...facts.kinds].filter((kind) => kind !== 'object')) }, items: [] }),
      ])
    }
    return ways
  }

  /** How the schemas of a oneOf are told apart is found once for each. */
  parted(item: Item, oneOf: unknown): Parting {
    const schema = item.schema as Schema
    const known = this.partings.get(schema) ?? apart(this, item, schemasAt(oneOf, within(item.at, 'oneOf')))
    this.partings.set(schema, known)
    return known
  }

  private alternatives(item: Item, oneOf: unknown): ((facts: Facts) => Way)[] {
    const place = within(item.at, 'oneOf')
    const branches = schemasAt(oneOf, place)
    const { demanded, excluded } = this.parted(item, oneOf)
    return branches.map((one, i) => (facts) => ({
      facts: demanded === undefined ? facts : demanding(facts, [demanded]),
      items: [
        this.sameValue(item, one, `${place}.${i}`),
        ...excluded[i].map((j) => this.sameValue(item, branches[j], `${place}.${j}`, true)),
      ],
    }))
  }
}
