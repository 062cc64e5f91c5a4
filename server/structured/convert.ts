/** From a constraint to what XGrammar compiles. Its own conversions of schemas and regular expressions are not used: they pass over keywords that they do not know. */
import type { Constraint } from './constraint.ts'
import { ConstraintError, either, literal, Rules } from './ebnf.ts'
import { inside } from './json/checked.ts'
import { schemaToEbnf } from './json/schema.ts'
import { regexToEbnf } from './regex.ts'
import { withClasses } from './written-classes.ts'
import { checkParameters } from './xml-parameters.ts'

/** A grammar as XGrammar takes it. */
export type Source = { ebnf: string } | { tag: string }

/** Throws ConstraintError, whose place is within the constraint's own value. */
export function sourceOf(constraint: Constraint): Source {
  switch (constraint.kind) {
    case 'json':
      return { ebnf: schemaToEbnf(constraint.schema) }
    case 'regex':
      return { ebnf: regexRule(constraint.pattern) }
    case 'choice':
      return { ebnf: `root ::= ${either(constraint.choices.map((choice, i) => inside(String(i), () => literal(choice))))}` }
    case 'grammar':
      return { ebnf: withClasses(constraint.ebnf) }
    case 'structural_tag':
      return { tag: JSON.stringify(structuralTag(constraint.tag as Tag)) }
  }
}

function regexRule(pattern: string): string {
  const rules = new Rules()
  return rules.text(regexToEbnf(pattern, 'plain', false, rules))
}

type Tag = Record<string, unknown>

/** With its schemas and regular expressions as grammars; the older form ({structures, triggers}) as today's. */
function structuralTag(tag: Tag): Tag {
  if (tag.structures === undefined) return { ...tag, type: 'structural_tag', format: inside('format', () => format(tag.format)) }
  if (!Array.isArray(tag.structures) || !Array.isArray(tag.triggers))
    throw new ConstraintError('structures', 'it must be a list, beside a list of triggers')
  const tags = tag.structures.map((one: Tag, i) => {
    const content = inside(`structures.${i}.schema`, () => format({ type: 'json_schema', json_schema: schemaOf(one?.schema) }))
    return { type: 'tag', begin: one.begin, content, end: one.end }
  })
  return { type: 'structural_tag', format: { type: 'triggered_tags', triggers: tag.triggers, tags } }
}

/** The older form has schemas as texts too. */
function schemaOf(schema: unknown): unknown {
  if (typeof schema !== 'string') return schema
  try {
    return JSON.parse(schema)
  } catch {
    throw new ConstraintError('', 'it is no JSON')
  }
}

function format(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ConstraintError('', 'it must be an object with a type')
  const { type, content, elements, tags } = value as Tag
  const all = (list: unknown, name: string) =>
    Array.isArray(list) ? list.map((one, i) => inside(`${name}.${i}`, () => format(one))) : list
  switch (type) {
    case 'json_schema': {
      const grammar = inside('json_schema', () => schemaToEbnf((value as Tag).json_schema as object | boolean))
      return { type: 'grammar', grammar }
    }
    case 'regex':
      return { type: 'grammar', grammar: inside('pattern', () => regexRule(String((value as Tag).pattern))) }
    case 'grammar':
      return { ...(value as Tag), grammar: inside('grammar', () => withClasses(String((value as Tag).grammar))) }
    case 'qwen_xml_parameter':
      inside('json_schema', () => checkParameters((value as Tag).json_schema))
      return value
    default: {
      const changed: Tag = { ...(value as Tag) }
      if (content !== undefined) changed.content = inside('content', () => format(content))
      if (elements !== undefined) changed.elements = all(elements, 'elements')
      if (tags !== undefined) changed.tags = all(tags, 'tags')
      return changed
    }
  }
}
