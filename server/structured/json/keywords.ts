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
  '$dynamicAnchor',
  '$vocabulary',
  'contentEncoding',
  'contentMediaType',
  'contentSchema',
  'discriminator',
  'nullable',
])

/** Those that say something. */
export const keywordsOf = (schema: Schema): string[] => Object.keys(schema).filter((keyword) => !ANNOTATIONS.has(keyword))

/** They would change what is valid, and no answer can be held to them. */
export const REFUSED = ['$dynamicRef', '$recursiveRef'] as const

/** What answers are held to. */
export const SUPPORTED = [
  'type',
  'enum',
  'const',
  'properties',
  'required',
  'additionalProperties',
  'patternProperties',
  'propertyNames',
  'minProperties',
  'maxProperties',
  'dependentRequired',
  'dependentSchemas',
  'dependencies',
  'unevaluatedProperties',
  'items',
  'prefixItems',
  'additionalItems',
  'minItems',
  'maxItems',
  'uniqueItems',
  'contains',
  'minContains',
  'maxContains',
  'unevaluatedItems',
  'minLength',
  'maxLength',
  'pattern',
  'format',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'anyOf',
  'oneOf',
  'allOf',
  'not',
  'if',
  'then',
  'else',
  '$ref',
] as const

export const TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const
/** Whole numbers are numbers. */
export const KINDS = ['object', 'array', 'string', 'number', 'boolean', 'null'] as const
export type Kind = (typeof KINDS)[number]

export const kindOf = (value: unknown): Kind => {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : (typeof value as Kind)
}

/** Characters of a client's value that a message repeats. */
const SHOWN = 100
export const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text
}
