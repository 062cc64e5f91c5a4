/** Bodies as the API document has them. What the routes check by hand, so that errors can name the nearest field, is said here as schemas say it. */
import { UNSERVED } from '../openai/schemas.ts'
import type { Schema } from './describe.ts'

/** Without fields that nobody knows, and with the base model as a model that is there. */
export function documentedBody(body: Schema, base: string): Schema {
  return closed(asDocumented(body) as Schema, base)
}

/** With what `documentedAs` says in place of what is checked. */
function asDocumented(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(asDocumented)
  if ('documented' in value) {
    const { documented, description } = value as Schema
    return { ...(asDocumented(documented) as Schema), ...(description !== undefined && { description }) }
  }
  return Object.fromEntries(Object.entries(value).map(([key, held]) => [key, asDocumented(held)]))
}

function closed(body: Schema, base: string): Schema {
  if (body.type !== 'object') {
    const { anyOf } = body
    return Array.isArray(anyOf) ? { ...body, anyOf: anyOf.map(({ examples: _, ...one }: Schema) => closed(one, base)) } : body
  }
  const properties = Object.entries((body.properties ?? {}) as Record<string, Schema>).map(([name, schema]) => [
    name,
    // Known, and refused but for what changes nothing.
    name in UNSERVED ? { type: 'null' } : name === 'model' ? knowing(schema, base) : schema,
  ])
  return { ...body, properties: Object.fromEntries(properties), additionalProperties: false }
}

/** A name: one that is there for certain, or any. */
const knowing = (schema: Schema, base: string): Schema =>
  Array.isArray(schema.anyOf) ? { ...schema, anyOf: [{ const: base }, ...schema.anyOf] } : schema
