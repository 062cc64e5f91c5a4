/** Bodies as the API document has them. What the routes check by hand, so that errors can name the nearest field, is said here as schemas say it. */
import { UNSERVED } from '../openai/schemas.ts'
import type { Schema } from './describe.ts'

/** Without fields that nobody knows, and with the base model as a model that is there. */
export function closed(body: Schema, base: string): Schema {
  if (Array.isArray(body.anyOf)) return { ...body, anyOf: body.anyOf.map(({ examples: _, ...one }: Schema) => closed(one, base)) }
  if (body.type !== 'object') return body
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
