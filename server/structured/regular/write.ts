/** Regular sets of texts as EBNF: expressions as they are, automata as a rule for each state, which names the next one at its end (XGrammar masks such rules fastest). */
import { type Characters, characters, either, literal, oneOf, type Rules, repeated, sequence, without } from '../ebnf.ts'
import { automatonOf, takesNothing, targets } from './automaton.ts'
import { type Automaton, isNothing, needsAutomaton, type Regular } from './regular.ts'

/** How characters are written in the text: as they are, or as a JSON string has them. */
export type Writing = 'plain' | 'json'

/** Characters that a JSON string has only escaped. */
export const ESCAPED = characters([
  [0, 31],
  [34, 34],
  [92, 92],
])

/** One character of a set; undefined: the set is empty. */
export function character(set: Characters, writing: Writing, rules: Rules): string | undefined {
  if (writing === 'plain') return set.length > 0 ? oneOf(set, rules) : undefined
  const plain = without(set, ESCAPED)
  const special: string[] = []
  for (const [low, high] of ESCAPED)
    for (let code = low; code <= high; code++)
      if (set.some(([a, b]) => code >= a && code <= b))
        special.push(literal(JSON.stringify(String.fromCharCode(code)).slice(1, -1)))
  return either([plain.length > 0 ? oneOf(plain, rules) : undefined, ...special])
}

/** Times that a class is repeated with what is escaped of it. */
const MOST_ALTERNATIVES = 16

/** Undefined: there is no such text. Throws ConstraintError for what would be too large. */
export function written(one: Regular, writing: Writing, rules: Rules): string | undefined {
  return needsAutomaton(one) ? byStates(automatonOf(one), writing, rules) : expression(one, writing, rules)
}

function expression(one: Regular, writing: Writing, rules: Rules): string | undefined {
  switch (one.kind) {
    case 'chars':
      return character(one.set, writing, rules)
    case 'seq':
      return isNothing(one)
        ? undefined
        : sequence(texts(one.parts, writing).map((part) => (typeof part === 'string' ? part : expression(part, writing, rules))))
    case 'alt':
      return either(one.of.map((other) => expression(other, writing, rules)))
    case 'repeat': {
      const { least, most } = one
      const what = plainly(one, writing, rules) ?? expression(one.what, writing, rules)
      return what === undefined ? (least === 0 ? '""' : undefined) : repeated(what, least, most)
    }
    default:
      throw new Error('needs an automaton')
  }
}

/** Characters that stand alone one after the other, as one text. */
function texts(parts: readonly Regular[], writing: Writing): (Regular | string)[] {
  const made: (Regular | string)[] = []
  let run = ''
  const end = () => {
    if (run !== '') made.push(literal(writing === 'json' ? JSON.stringify(run).slice(1, -1) : run))
    run = ''
  }
  for (const part of parts) {
    if (part.kind === 'chars' && part.set.length === 1 && part.set[0][0] === part.set[0][1])
      run += String.fromCodePoint(part.set[0][0])
    else {
      end()
      made.push(part)
    }
  }
  end()
  return made
}

/** Many characters of a class, in a JSON string: without those that are escaped there, since alternatives that are repeated take XGrammar seconds (json/strings.ts). */
function plainly({ what, most }: Extract<Regular, { kind: 'repeat' }>, writing: Writing, rules: Rules): string | undefined {
  if (writing !== 'json' || most === undefined || most <= MOST_ALTERNATIVES || what.kind !== 'chars') return undefined
  const set = without(what.set, ESCAPED)
  return set.length > 0 ? character(set, 'plain', rules) : undefined
}

/** Undefined: it takes nothing. `end` stands behind every text. */
export function byStates(automaton: Automaton, writing: Writing, rules: Rules, end = ''): string | undefined {
  if (takesNothing(automaton)) return undefined
  const { edges, accepts } = automaton
  const names = edges.map(() => rules.reserve())
  for (const [state, own] of edges.entries()) {
    const ways = [...targets(own)].map(([to, set]) => `${character(set, writing, rules)} ${names[to]}`)
    rules.define(names[state], [...(accepts[state] ? [end === '' ? '""' : end] : []), ...ways].join(' | '))
  }
  return names[0]
}
