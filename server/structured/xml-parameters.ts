/** XGrammar's `qwen_xml_parameter`: it reads that schema itself, and passes over keywords that it does not know. Those are refused here. */
import { ConstraintError } from './ebnf.ts'
import { inside, within } from './json/checked.ts'
import { keywordsOf, type Schema } from './json/keywords.ts'

/** What it holds answers to. */
const HELD = [
  'type',
  'enum',
  'const',
  'properties',
  'required',
  'additionalProperties',
  'items',
  'minItems',
  'maxItems',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'anyOf',
  '$ref',
]

/** Keywords whose values are schemas by name. */
const NAMED = ['properties', '$defs', 'definitions']

/** Throws ConstraintError at the first keyword that an answer would not be held to. */
export function checkParameters(schema: unknown): void {
  if (typeof schema !== 'object' || schema === null) return
  if (Array.isArray(schema)) {
    for (const [i, one] of schema.entries()) inside(String(i), () => checkParameters(one))
    return
  }
  const keywords = keywordsOf(schema as Schema)
  const other =
    keywords.find((keyword) => !HELD.includes(keyword)) ?? (keywords.includes('$ref') && keywords.length > 1 ? '$ref' : undefined)
  if (other === '$ref')
    throw new ConstraintError('$ref', 'what stands beside it is passed over in a qwen_xml_parameter; say it where it leads')
  if (other !== undefined)
    throw new ConstraintError(other, `a qwen_xml_parameter cannot be held to this keyword, only to ${HELD.join(', ')}`)
  for (const name of NAMED)
    for (const [member, one] of Object.entries((schema as Schema)[name] ?? {}))
      inside(within(name, member), () => checkParameters(one))
  for (const name of ['items', 'additionalProperties', 'anyOf']) inside(name, () => checkParameters((schema as Schema)[name]))
}
