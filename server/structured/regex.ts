/** Regular expressions as EBNF. */
import { ConstraintError, type Rules } from './ebnf.ts'
import { regularOf } from './regular/parse.ts'
import { type Writing, written } from './regular/write.ts'

/** EBNF of the texts that a pattern matches; with `within`, of those that have a match somewhere. Throws ConstraintError. */
export function regexToEbnf(source: string, writing: Writing, within: boolean, rules: Rules): string {
  const made = written(regularOf(source, within), writing, rules)
  if (made === undefined) throw new ConstraintError('', 'no text matches it')
  return made
}
