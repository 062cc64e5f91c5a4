/** What an answer must be, behind what the model reasons first: one constraint for both, as one of XGrammar's structural tags. */
import type { Constraint } from '../../structured/constraint.ts'

/** How a model's thought is marked in its answer. */
export interface Thought {
  /** Empty where the prompt has begun it. */
  begin: string
  end: string
  /** The model may leave it out. */
  optional: boolean
}

/** Models write a line end or two behind a thought; in JSON they mean nothing. */
const LINE_ENDS = { type: 'grammar', grammar: 'root ::= [\\n]{0,2}' }

/** Without a thought, and for tags, as it is. */
export function afterReasoning(constraint: Constraint, thought: Thought | undefined): Constraint {
  if (constraint.kind === 'structural_tag' || !thought) return constraint
  const { begin, end, optional } = thought
  const tag = { type: 'tag', begin, content: { type: 'any_text' }, end }
  const between = constraint.kind === 'json' ? [LINE_ENDS] : []
  const answer = formatOf(constraint)
  const reasoned = { type: 'sequence', elements: [tag, ...between, answer] }
  return {
    kind: 'structural_tag',
    tag: { type: 'structural_tag', format: optional ? { type: 'or', elements: [reasoned, answer] } : reasoned },
  }
}

function formatOf(constraint: Exclude<Constraint, { kind: 'structural_tag' }>): object {
  switch (constraint.kind) {
    case 'json':
      return { type: 'json_schema', json_schema: constraint.schema === true ? { type: 'object' } : constraint.schema }
    case 'regex':
      return { type: 'regex', pattern: constraint.pattern }
    case 'grammar':
      return { type: 'grammar', grammar: constraint.ebnf }
    case 'choice': {
      const choices = constraint.choices.map((value) => ({ type: 'const_string', value }))
      return choices.length === 1 ? choices[0] : { type: 'or', elements: choices }
    }
  }
}
