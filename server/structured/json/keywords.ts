/** JSON Schema's keywords: those that answers are held to, those that say nothing of them, and those that are refused. */

export type Schema = Record<string, unknown>

/** They say nothing of what is valid. Names that nobody knows say nothing either. */
export const ANNOTATIONS = new Set([
  'title',
  'description',
  'default',
  'examples',
  'example',
  'deprecated',
  'readOnly',
  'writeOnly',
  '$comment',
  '$schema',
  '$id',
  'id',
  '$defs',
  'definitions',
  '$anchor',
  '$vocabulary',
  'contentEncoding',
  'contentMediaType',
  'contentSchema',
  'discriminator',
  'nullable',
  'then',
  'else',
  'minContains',
  'maxContains',
])

/** They would change what is valid, and no answer can be held to them: values that change nothing aside. */
export const REFUSED: Record<string, (value: unknown, schema: Schema) => boolean> = {
  not: (value) => value === false,
  if: (_, schema) => schema.then === undefined && schema.else === undefined,
  dependentRequired: empty,
  dependentSchemas: empty,
  dependencies: empty,
  contains: () => false,
  uniqueItems: (value) => value === false,
  multipleOf: (value, { type }) => value === 1 && type === 'integer',
  patternProperties: empty,
  propertyNames: (value) => value === true || empty(value),
  // What a schema does not name is left out anyway.
  unevaluatedProperties: (value, { additionalProperties }) =>
    value === true || (value === false && (additionalProperties === undefined || additionalProperties === false)),
  unevaluatedItems: (value, { items }) => value === true || (value === false && (items === undefined || items === false)),
  $dynamicRef: () => false,
  $recursiveRef: () => false,
}

function empty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

/** What answers are held to. */
export const SUPPORTED = [
  'type',
  'enum',
  'const',
  'properties',
  'required',
  'additionalProperties',
  'minProperties',
  'maxProperties',
  'items',
  'prefixItems',
  'additionalItems',
  'minItems',
  'maxItems',
  'minLength',
  'maxLength',
  'pattern',
  'format',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'anyOf',
  'oneOf',
  'allOf',
  '$ref',
] as const

export const TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const
export type Type = (typeof TYPES)[number]

/** Keywords that speak of values of one type alone. */
export const OF_TYPE: Record<string, readonly string[]> = {
  object: ['properties', 'required', 'additionalProperties', 'minProperties', 'maxProperties'],
  array: ['items', 'prefixItems', 'additionalItems', 'minItems', 'maxItems'],
  string: ['minLength', 'maxLength', 'pattern', 'format'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
}

export const typeOf = (value: unknown): Type => {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value as Type
}
