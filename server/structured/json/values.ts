/** Whether values that a schema lists are valid by what else holds there: JSON Schema as a validator has it. */
import { isDeepStrictEqual } from 'node:util'
import { ConstraintError } from '../ebnf.ts'
import { automatonOf, takes } from '../regular/automaton.ts'
import { regularOf } from '../regular/parse.ts'
import type { Automaton } from '../regular/regular.ts'
import * as checked from './checked.ts'
import { within } from './checked.ts'
import { dependencies } from './dependencies.ts'
import type { Item } from './facts.ts'
import { keywordsOf, kindOf, REFUSED, type Schema } from './keywords.ts'
import type { References } from './references.ts'
import { FORMATS } from './strings.ts'

export const sameValue = (a: unknown, b: unknown): boolean => isDeepStrictEqual(plain(a), plain(b))

/** -0 is 0. */
const plain = (value: unknown) => (value === 0 ? 0 : value)

/** Without those that come twice. */
export function listed(values: readonly unknown[]): unknown[] {
  const known = new Set<string>()
  return values.filter((value) => {
    const text = JSON.stringify(value)
    const isNew = !known.has(text)
    known.add(text)
    return isNew
  })
}

type Members = Record<string, unknown>
/** A keyword about values of one kind, which others are valid by. */
type Check = (checker: Checker, value: never, said: unknown, schema: Schema, at: string) => boolean

const CHECKS: Record<string, [kind: string | undefined, check: Check]> = {
  type: [
    undefined,
    (_, value: unknown, said, __, at) =>
      checked.typesAt(said, at).some((type) => type === kindOf(value) || (type === 'integer' && Number.isInteger(value))),
  ],
  enum: [undefined, (_, value: unknown, said, __, at) => checked.valuesAt(said, at).some((one) => sameValue(one, value))],
  const: [undefined, (_, value: unknown, said) => sameValue(said, value)],
  minimum: ['number', (_, value: number, said, __, at) => value >= checked.numberAt(said, at)],
  maximum: ['number', (_, value: number, said, __, at) => value <= checked.numberAt(said, at)],
  exclusiveMinimum: ['number', (_, value: number, said, __, at) => value > checked.numberAt(said, at)],
  exclusiveMaximum: ['number', (_, value: number, said, __, at) => value < checked.numberAt(said, at)],
  multipleOf: ['number', (_, value: number, said, __, at) => isMultiple(value, checked.stepAt(said, at))],
  minLength: ['string', (_, value: string, said, __, at) => [...value].length >= checked.countAt(said, at)],
  maxLength: ['string', (_, value: string, said, __, at) => [...value].length <= checked.countAt(said, at)],
  pattern: ['string', (checker, value: string, said, _, at) => checker.matches(checked.stringAt(said, at), at, true, value)],
  format: [
    'string',
    (checker, value: string, said, _, at) =>
      !Object.hasOwn(FORMATS, String(said)) || checker.matches(FORMATS[String(said)], at, false, value),
  ],
  minItems: ['array', (_, value: unknown[], said, __, at) => value.length >= checked.countAt(said, at)],
  maxItems: ['array', (_, value: unknown[], said, __, at) => value.length <= checked.countAt(said, at)],
  uniqueItems: [
    'array',
    (_, value: unknown[], said) =>
      said !== true || value.every((one, i) => !value.slice(i + 1).some((other) => sameValue(one, other))),
  ],
  contains: [
    'array',
    (checker, value: unknown[], said, schema, at) => {
      const { least, most } = checked.containedCounts(schema, at.replace(/\.?contains$/, ''))
      const count = value.filter((one) => checker.isValid(one, said, at)).length
      return count >= least && (most === undefined || count <= most)
    },
  ],
  prefixItems: [
    'array',
    (checker, value: unknown[], said, _, at) =>
      (said as unknown[]).every((one, i) => i >= value.length || checker.isValid(value[i], one, `${at}.${i}`)),
  ],
  items: [
    'array',
    (checker, value: unknown[], said, { prefixItems, additionalItems = true }, at) => {
      if (!Array.isArray(said))
        return value.slice(Array.isArray(prefixItems) ? prefixItems.length : 0).every((one) => checker.isValid(one, said, at))
      return value.every((one, i) => checker.isValid(one, said[i] ?? additionalItems, at))
    },
  ],
  minProperties: ['object', (_, value: Members, said, __, at) => Object.keys(value).length >= checked.countAt(said, at)],
  maxProperties: ['object', (_, value: Members, said, __, at) => Object.keys(value).length <= checked.countAt(said, at)],
  required: [
    'object',
    (_, value: Members, said, __, at) => checked.namesAt(said, at).every((name) => Object.hasOwn(value, name)),
  ],
  propertyNames: [
    'object',
    (checker, value: Members, said, _, at) => Object.keys(value).every((name) => checker.isValid(name, said, at)),
  ],
  properties: [
    'object',
    (checker, value: Members, said, _, at) =>
      checked
        .named(said, at)
        .every(([name, one]) => !Object.hasOwn(value, name) || checker.isValid(value[name], one, within(at, name))),
  ],
  patternProperties: [
    'object',
    (checker, value: Members, said, _, at) =>
      checked
        .named(said, at)
        .every(([source, one]) =>
          Object.entries(value).every(
            ([name, own]) => !checker.matches(source, at, true, name) || checker.isValid(own, one, within(at, source)),
          ),
        ),
  ],
  additionalProperties: [
    'object',
    (checker, value: Members, said, { properties = {}, patternProperties = {} }, at) =>
      Object.entries(value).every(
        ([name, own]) =>
          Object.hasOwn(properties as object, name) ||
          Object.keys(patternProperties as object).some((source) => checker.matches(source, at, true, name)) ||
          checker.isValid(own, said, at),
      ),
  ],
  allOf: [
    undefined,
    (checker, value, said, _, at) => checked.schemasAt(said, at).every((one, i) => checker.isValid(value, one, `${at}.${i}`)),
  ],
  anyOf: [
    undefined,
    (checker, value, said, _, at) => checked.schemasAt(said, at).some((one, i) => checker.isValid(value, one, `${at}.${i}`)),
  ],
  oneOf: [
    undefined,
    (checker, value, said, _, at) =>
      checked.schemasAt(said, at).filter((one, i) => checker.isValid(value, one, `${at}.${i}`)).length === 1,
  ],
  not: [undefined, (checker, value, said, _, at) => !checker.isValid(value, said, at)],
  if: [
    undefined,
    (checker, value, said, { then = true, else: otherwise = true }, at) =>
      checker.isValid(value, checker.isValid(value, said, at) ? then : otherwise, at),
  ],
}

const MOST_DEPTH = 500

export class Checker {
  private readonly references: References
  private readonly automata = new Map<string, Automaton>()
  private depth = 0
  /** It depends on whether something does not hold. */
  private turned = false

  constructor(references: References) {
    this.references = references
  }

  /** Throws ConstraintError where that cannot be said. */
  keeps(value: unknown, items: readonly Item[]): boolean {
    return items.every(({ schema, negated, at }) => {
      this.turned = negated
      return this.isValid(value, schema, at) !== negated
    })
  }

  isValid(value: unknown, schema: unknown, at: string): boolean {
    const own = checked.schemaAt(schema, at)
    if (typeof own === 'boolean') return own
    if (++this.depth > MOST_DEPTH) throw new ConstraintError(at, 'it leads to itself, or is nested too deeply')
    try {
      return keywordsOf(own).every((keyword) => this.keepsTo(value, keyword, own, within(at, keyword)))
    } finally {
      this.depth--
    }
  }

  private keepsTo(value: unknown, keyword: string, schema: Schema, at: string): boolean {
    const said = schema[keyword]
    if (keyword === '$ref' && this.turned && this.references.alone && keywordsOf(schema).length > 1)
      throw new ConstraintError(at, 'it is not supported beside other keywords where it might have to fail, beside enum or const')
    if (keyword === '$ref') return this.isValid(value, checked.placed(at, () => this.references.find(schema, said)).schema, at)
    if (/^unevaluated/.test(keyword) || (REFUSED as readonly string[]).includes(keyword))
      throw new ConstraintError(at, 'it is not supported beside enum or const')
    if (/^depend/.test(keyword)) return this.keepsDependencies(value, schema, at)
    if (!Object.hasOwn(CHECKS, keyword)) return true
    const [kind, check] = CHECKS[keyword]
    if (kind !== undefined && kind !== kindOf(value)) return true
    const before = this.turned
    this.turned ||= keyword === 'not' || keyword === 'oneOf' || keyword === 'if' || keyword === 'contains'
    try {
      // A format is known by a part of what it allows: what is outside may be valid as well.
      if (keyword === 'format' && this.turned && Object.hasOwn(FORMATS, String(said)))
        throw new ConstraintError(at, 'it is not supported where it might have to fail, beside enum or const')
      return check(this, value as never, said, schema, at)
    } finally {
      this.turned = before
    }
  }

  private keepsDependencies(value: unknown, schema: Schema, at: string): boolean {
    if (kindOf(value) !== 'object') return true
    const has = (name: string) => Object.hasOwn(value as Members, name)
    return dependencies(schema, at.replace(/\.?[^.]*$/, '')).every(
      ({ name, names = [], schema: one = true, at }) => !has(name) || (names.every(has) && this.isValid(value, one, at)),
    )
  }

  matches(source: string, at: string, anywhere: boolean, text: string): boolean {
    const key = `${anywhere} ${source}`
    const known = this.automata.get(key) ?? checked.placed(at, () => automatonOf(regularOf(source, anywhere)))
    this.automata.set(key, known)
    return takes(known, text)
  }
}

/** As decimals are: 0.3 is a multiple of 0.1. */
function isMultiple(value: number, step: number): boolean {
  if (!Number.isFinite(value)) return false
  const [a, b] = [value, step].map((one) => /^-?(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(one)) as RegExpExecArray)
  const placesOf = ([, , fraction = '', power = '0']: RegExpExecArray) => fraction.length - Number(power)
  const places = Math.max(placesOf(a), placesOf(b))
  const whole = (parts: RegExpExecArray) => BigInt(parts[1] + (parts[2] ?? '')) * 10n ** BigInt(places - placesOf(parts))
  return whole(a) % whole(b) === 0n
}
