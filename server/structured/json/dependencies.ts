/** Members that depend on others, and members that must not be. */
import { named, namesAt, schemaAt, within } from './checked.ts'
import { type Facts, type Item, only, saying } from './facts.ts'
import type { Schema } from './keywords.ts'

/** A member that must not be there. */
export function absent(facts: Facts, name: string, at: string): Facts {
  const never: Item = { schema: false, negated: false, at, trail: [], owners: [] }
  return saying(only(facts, 'object'), { named: new Map([[name, never]]), owners: [] })
}

export interface Dependency {
  name: string
  names?: readonly string[]
  schema?: Schema | boolean
  at: string
}

/** dependentRequired, dependentSchemas, and both as one until draft 7. */
export function dependencies(schema: Schema, where: string): Dependency[] {
  const all: Dependency[] = []
  for (const keyword of ['dependentRequired', 'dependentSchemas', 'dependencies'] as const) {
    if (schema[keyword] === undefined) continue
    const place = within(where, keyword)
    for (const [name, value] of named(schema[keyword], place)) {
      const at = within(place, name)
      if (keyword === 'dependentRequired' || Array.isArray(value)) all.push({ name, names: namesAt(value, at), at })
      else all.push({ name, schema: schemaAt(value, at), at })
    }
  }
  return all
}
