/** The public JSON-Schema-Test-Suite (test/fixtures/json-schema-suite) against what grammars take: group by group, each either refused by name or followed. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { ConstraintError } from '../../server/structured/ebnf.ts'
import { matching } from './matching.ts'
import { fixture } from './repo.ts'

type Json = Record<string, unknown>

export interface Group {
  description: string
  schema: object | boolean
  tests: { description: string; data: unknown; valid: boolean }[]
}

export type Suite = Record<string, Group[]>

export const readSuite = (draft: string): Suite =>
  JSON.parse(gunzipSync(readFileSync(fixture('json-schema-suite', `${draft}.json.gz`))).toString())

const ONE = [
  'items',
  'additionalItems',
  'additionalProperties',
  'not',
  'if',
  'then',
  'else',
  'contains',
  'propertyNames',
  'unevaluatedProperties',
  'unevaluatedItems',
]
const LISTS = ['allOf', 'anyOf', 'oneOf', 'prefixItems', 'items']
const NAMED = ['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas', 'dependencies']
const EVERY = ['object', 'array', 'string', 'number', 'boolean', 'null']

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * The same with what schemas leave out as JSON Schema has it: that other types are valid by keywords of one, and that members may be there which are not named. Answers leave them
 * out unless it is said.
 */
export function inFull(schema: unknown, closing = JSON.stringify(schema)?.includes('unevaluatedProperties')): unknown {
  if (!isObject(schema)) return schema
  const full: Json = { ...schema }
  for (const keyword of ONE) if (isObject(full[keyword])) full[keyword] = inFull(full[keyword], closing)
  for (const keyword of LISTS)
    if (Array.isArray(full[keyword])) full[keyword] = (full[keyword] as unknown[]).map((one) => inFull(one, closing))
  for (const keyword of NAMED)
    if (isObject(full[keyword]))
      full[keyword] = Object.fromEntries(Object.entries(full[keyword]).map(([name, one]) => [name, inFull(one, closing)]))
  if (full.type === undefined) full.type = EVERY
  if (!closing && full.additionalProperties === undefined) full.additionalProperties = true
  return full
}

/** Orders of members that are tried, at most. */
const MOST_SPELLINGS = 720

/** A value as JSON without white space, in each order of its members. */
export function spellings(value: unknown): string[] {
  if (Array.isArray(value)) return joined(value.map(spellings)).map((items) => `[${items.join()}]`)
  if (!isObject(value)) return [JSON.stringify(value)]
  const members = Object.entries(value).map(([name, one]) => spellings(one).map((text) => `${JSON.stringify(name)}:${text}`))
  return orders(members)
    .flatMap((order) => joined(order).map((texts) => `{${texts.join()}}`))
    .slice(0, MOST_SPELLINGS)
}

const joined = (lists: readonly (readonly string[])[]): string[][] =>
  lists.reduce<string[][]>(
    (all, list) => all.flatMap((before) => list.map((one) => [...before, one])).slice(0, MOST_SPELLINGS),
    [[]],
  )

function orders<T>(list: readonly T[]): T[][] {
  if (list.length < 2) return [[...list]]
  return list
    .flatMap((one, i) => orders([...list.slice(0, i), ...list.slice(i + 1)]).map((rest) => [one, ...rest]))
    .slice(0, MOST_SPELLINGS)
}

export interface Verdict {
  /** Where it is refused, and why. */
  refused: string | undefined
  /** Valid instances that are not taken, though the schema says in full what it allows. */
  missed: string[]
  /** Invalid ones that are. */
  wrong: string[]
}

type Takes = (text: string) => Promise<boolean>

async function grammar(schema: unknown): Promise<Takes | ConstraintError> {
  if (schema === false) return async () => false
  try {
    return await matching({ kind: 'json', schema: schema === true ? {} : (schema as object) })
  } catch (error) {
    if (error instanceof ConstraintError) return error
    throw error
  }
}

async function takesSome(takes: Takes, data: unknown): Promise<boolean> {
  for (const text of spellings(data)) if (await takes(text)) return true
  return false
}

export async function judge({ schema, tests }: Group): Promise<Verdict> {
  const full = await grammar(inFull(schema))
  const verdict: Verdict = { refused: undefined, missed: [], wrong: [] }
  // What nothing is valid by is refused too; that is right if nothing is to be taken.
  const nothing = (one: Takes | ConstraintError) => one instanceof ConstraintError && /^nothing is valid/.test(one.message)
  const shown = (data: unknown) => JSON.stringify(data).slice(0, 80)
  if (full instanceof ConstraintError) {
    if (!nothing(full)) verdict.refused = `${full.at}: ${full.message}`
    else for (const { data, valid } of tests) if (valid) verdict.missed.push(shown(data))
  } else
    for (const { data, valid } of tests) {
      const taken = await takesSome(full, data)
      if (taken && !valid) verdict.wrong.push(shown(data))
      if (!taken && valid) verdict.missed.push(shown(data))
    }
  const served = await grammar(schema)
  if (!(served instanceof ConstraintError))
    for (const { data, valid } of tests)
      if (!valid && (await takesSome(served, data))) verdict.wrong.push(`as it stands: ${shown(data)}`)
  return verdict
}
