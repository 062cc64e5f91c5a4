/** What a body says of its answers' format: `response_format` (OpenAI's) and `structured_outputs` (vLLM's). */
import { ApiError } from '../errors.ts'
import type { Constraint } from './constraint.ts'
import { checkLength } from './constraint-text.ts'
import { eachFormat, exactlyOne } from './documented.ts'

type Body = Record<string, unknown>

/** A constraint, and the field that errors about it name. */
export interface Structured {
  structured?: Constraint
  structuredField?: string
}

const nullable = (schema: object) => ({ anyOf: [schema, { type: 'null' }] })
const text = { type: 'string' }
const anySchema = { anyOf: [{ type: 'object' }, { type: 'boolean' }] }
const flag = nullable({ type: 'boolean' })

/** Of vLLM's fields those that say what, of which there is one. */
const KINDS = ['json', 'regex', 'choice', 'grammar', 'json_object', 'structural_tag'] as const

/** `json_schema` of a response_format. */
const JSON_FORMAT = {
  type: 'object',
  required: ['name', 'schema'],
  properties: { name: text, description: nullable(text), schema: anySchema, strict: flag },
}

/** The fields as both routes have them. */
export const STRUCTURED_FIELDS: Record<string, object> = {
  response_format: eachFormat(
    {
      type: 'object',
      required: ['type'],
      properties: {
        type: { enum: ['text', 'json_object', 'json_schema', 'structural_tag'] },
        json_schema: nullable(JSON_FORMAT),
      },
    },
    JSON_FORMAT,
  ),
  structured_outputs: exactlyOne(KINDS, {
    type: 'object',
    additionalProperties: false,
    properties: {
      json: nullable({ anyOf: [text, ...anySchema.anyOf] }),
      regex: nullable({ ...text, minLength: 1 }),
      choice: nullable({ type: 'array', items: text, minItems: 1, maxItems: 4096 }),
      grammar: nullable({ ...text, minLength: 1 }),
      json_object: flag,
      structural_tag: nullable({ anyOf: [text, { type: 'object' }] }),
      disable_fallback: flag,
      disable_any_whitespace: nullable({ const: false }),
      disable_additional_properties: flag,
      whitespace_pattern: { type: 'null' },
    },
  }),
}

/** What a body that has these fields asks for. Throws ApiError where it asks for two things, or says one in a way that cannot be read. */
export function structuredOf(body: Body): Structured {
  const format = ofFormat(body.response_format as Body | null | undefined)
  const outputs = ofOutputs(body.structured_outputs as Body | null | undefined)
  if (format.structured && outputs.structured)
    throw new ApiError(
      'invalid_request',
      'response_format and structured_outputs both say what the answer must be; leave one of them out',
      'structured_outputs',
    )
  return format.structured ? format : outputs
}

function ofFormat(format: Body | null | undefined): Structured {
  switch (format?.type) {
    case 'json_object':
      return { structured: { kind: 'json', schema: true }, structuredField: 'response_format' }
    case 'json_schema': {
      const given = format.json_schema as Body | null | undefined
      if (!given)
        throw new ApiError('invalid_request', 'you must provide response_format.json_schema', 'response_format.json_schema')
      return ofSchema(given.schema, 'response_format.json_schema.schema')
    }
    case 'structural_tag':
      return { structured: { kind: 'structural_tag', tag: format }, structuredField: 'response_format' }
    default:
      return {}
  }
}

/** `true` allows any value, where a constraint's `true` is any object. */
function ofSchema(schema: unknown, structuredField: string): Structured {
  if (schema === false) throw new ApiError('invalid_request', `${structuredField}: nothing is valid by it`, structuredField)
  return { structured: { kind: 'json', schema: schema === true ? {} : (schema as object) }, structuredField }
}

function ofOutputs(outputs: Body | null | undefined): Structured {
  if (!outputs) return {}
  const said = KINDS.filter((kind) => outputs[kind] != null && outputs[kind] !== false)
  if (said.length !== 1)
    throw new ApiError(
      'invalid_request',
      `structured_outputs must have exactly one of ${KINDS.join(', ')}${said.length > 0 ? `, not ${said.join(' and ')}` : ''}`,
      'structured_outputs',
    )
  const [kind] = said
  const value = outputs[kind]
  const structuredField = `structured_outputs.${kind}`
  switch (kind) {
    case 'json':
      return ofSchema(typeof value === 'string' ? parsed(value, structuredField) : value, structuredField)
    case 'json_object':
      return { structured: { kind: 'json', schema: true }, structuredField }
    case 'regex':
      return { structured: { kind, pattern: value as string }, structuredField }
    case 'choice':
      return { structured: { kind, choices: value as string[] }, structuredField }
    case 'grammar':
      return { structured: { kind, ebnf: value as string }, structuredField }
    case 'structural_tag': {
      const tag = typeof value === 'string' ? parsed(value, structuredField) : value
      if (typeof tag !== 'object' || tag === null)
        throw new ApiError('invalid_request', `${structuredField} must be an object`, structuredField)
      return { structured: { kind, tag }, structuredField }
    }
  }
}

function parsed(value: string, field: string): unknown {
  checkLength(value, field)
  try {
    return JSON.parse(value)
  } catch (error) {
    throw new ApiError('invalid_request', `${field} is no JSON: ${(error as Error).message}`, field)
  }
}
