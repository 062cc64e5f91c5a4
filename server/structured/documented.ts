/** What answers must be, as the API document has it: what request.ts checks beside the schema. */
import { anyOf, documentedAs, object, oneOf, only, orNull, type Schema } from '../openapi/describe.ts'

/** Of `structured_outputs` one field says what, and the others how. `kinds`: the fields that say what. */
export function exactlyOne(kinds: readonly string[], whole: Schema): Schema {
  const fields = Object.entries(whole.properties as Record<string, Schema>)
  const how = Object.fromEntries(fields.filter(([name]) => !kinds.includes(name)))
  const each = fields
    .filter(([name]) => kinds.includes(name))
    .map(([name, field]) => ({ ...whole, required: [name], properties: { ...how, [name]: withoutNull(name, field) } }))
  return documentedAs(orNull(whole), anyOf(...each, { type: 'null' }))
}

function withoutNull(name: string, field: Schema): Schema {
  if (name === 'json_object') return only(true)
  const [held] = field.anyOf as Schema[]
  return held
}

/** A format with what its type needs. */
export const eachFormat = (whole: Schema, schema: Schema): Schema =>
  documentedAs(
    orNull(whole),
    anyOf(object({ type: oneOf('text', 'json_object') }), object({ type: only('json_schema'), json_schema: schema }), {
      type: 'null',
    }),
  )
