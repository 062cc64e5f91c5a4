/** Objects: which members there may be, of what names, and how many. */
import { ConstraintError, literal, type Rules } from '../ebnf.ts'
import { automatonOf, both, takes, takesNothing, without } from '../regular/automaton.ts'
import { regularOf } from '../regular/parse.ts'
import { ANYTHING, type Automaton, alt, type Regular, text } from '../regular/regular.ts'
import { byStates } from '../regular/write.ts'
import { placed } from './checked.ts'
import type { Facts, Item, Members } from './facts.ts'
import { type Member, type Others, objectOf, otherName } from './members.ts'
import { textsOf } from './strings.ts'
import type { Checker } from './values.ts'
import type { Ways } from './ways.ts'

export interface Values {
  rules: Rules
  ways: Ways
  checker: Checker
  /** An expression for values that keep to all of these; undefined: there is none. */
  grammarOf(items: readonly Item[]): string | undefined
}

/** Undefined: there is none. */
export function membersOf(values: Values, facts: Facts): string | undefined {
  const { rules, checker } = values
  const { members, required, minProperties: least, maxProperties: most } = facts
  const patterns = new Patterns(members)
  const names = new Set([...members.flatMap(({ named }) => [...named.keys()]), ...required])
  const texts = facts.names.length > 0 ? namesOf(values, facts.names) : undefined
  if (texts && 'list' in texts) for (const name of texts.list) names.add(name)
  // Where members are named, others are left out unless a schema says of them: so do vLLM and OpenAI.
  const closed = members.some(({ names, rest }) => names && rest === undefined) && !members.some(({ rest }) => rest !== undefined)
  const all: Member[] = []
  for (const name of names) {
    const found = saidOf(facts, name, (source) => patterns.matches(source, name))
    const leftOut = closed && !found.matched && !required.has(name)
    const allowed = !leftOut && checker.keeps(name, facts.names)
    all.push({ name, required: required.has(name), value: allowed ? values.grammarOf(found.items) : undefined })
  }
  const others = texts && 'list' in texts ? [] : othersOf(values, facts, patterns, [...names], texts?.automaton, closed)
  const demanded = all.filter((one) => one.required).length
  if (others.length > 0 && least > demanded + 1)
    throw new ConstraintError(
      facts.minPropertiesAt,
      `where there may be members without a name in the schema, it is supported up to one more than there are required ones (${demanded + 1})`,
    )
  return objectOf(rules, all, others, { least, most })
}

/** What is said of a member: by name, by patterns that its name matches, and by what is said of all others. `named` undefined: one that no schema names. */
function saidOf(
  facts: Facts,
  name: string | undefined,
  matches: (source: string) => boolean,
): { items: Item[]; matched: boolean } {
  const items: Item[] = []
  const by: Members[] = []
  for (const one of facts.members) {
    const own = name === undefined ? undefined : one.named.get(name)
    const patterned = one.patterns.filter(({ source }) => matches(source)).map(({ item }) => item)
    const said = [...(own ? [own] : []), ...patterned]
    if (said.length > 0 || one.rest) by.push(one)
    items.push(...(said.length === 0 && one.rest ? [one.rest] : said))
  }
  const matched = by.length > 0
  // From the innermost on: what one of them says of is evaluated for those around it.
  const open = [...facts.unevaluatedMembers].sort((a, b) => b.owners.length - a.owners.length)
  const saying = by.map(({ owners }) => owners)
  for (const { item, owner, owners } of open) {
    if (saying.some((own) => own.includes(owner))) continue
    items.push(item)
    saying.push(owners)
  }
  return { items, matched: matched || saying.length > by.length }
}

/** Names that are allowed: a list, or an automaton. */
function namesOf({ ways, checker }: Values, items: readonly Item[]): { list: string[] } | { automaton: Automaton } {
  const all = ways.of(items).filter(({ kinds }) => kinds.has('string'))
  if (all.every(({ values }) => values !== undefined)) {
    const list = all.flatMap(({ values }) => values ?? []).filter((value): value is string => typeof value === 'string')
    return { list: [...new Set(list)].filter((name) => checker.keeps(name, items)) }
  }
  const texts = all.map((facts): Regular => {
    if (facts.values === undefined) return textsOf(facts)
    return alt(...facts.values.filter((one): one is string => typeof one === 'string' && checker.keeps(one, items)).map(text))
  })
  return { automaton: placed(items[0].at, () => automatonOf(alt(...texts))) }
}

/** Automata of the patterns that names are matched with. */
class Patterns {
  readonly all = new Map<string, Automaton>()

  constructor(members: readonly Members[]) {
    for (const { patterns } of members)
      for (const { source, at } of patterns)
        if (!this.all.has(source))
          this.all.set(
            source,
            placed(at, () => automatonOf(regularOf(source, true))),
          )
  }

  matches(source: string, name: string): boolean {
    return takes(this.all.get(source) as Automaton, name)
  }
}

/** Sets of names that match different patterns. */
const MOST_SETS = 64

/** Members whose names are none of `names`. */
function othersOf(
  values: Values,
  facts: Facts,
  patterns: Patterns,
  names: readonly string[],
  allowed: Automaton | undefined,
  closed: boolean,
): Others[] {
  const { rules } = values
  if (patterns.all.size === 0 && !allowed) {
    const { items, matched } = saidOf(facts, undefined, () => false)
    const value = closed && !matched ? undefined : values.grammarOf(items)
    return value === undefined ? [] : [{ key: otherName(rules, names), value }]
  }
  const known: Regular = alt(...names.map(text))
  const whole = allowed ?? automatonOf(ANYTHING)
  let sets: { texts: Automaton; matched: ReadonlySet<string> }[] = [
    { texts: names.length > 0 ? without(whole, automatonOf(known)) : whole, matched: new Set() },
  ]
  for (const [source, automaton] of patterns.all)
    placed(place(facts, source), () => {
      sets = sets
        .flatMap(({ texts, matched }) => [
          { texts: both(texts, automaton), matched: new Set([...matched, source]) },
          { texts: without(texts, automaton), matched },
        ])
        .filter(({ texts }) => !takesNothing(texts))
      if (sets.length > MOST_SETS)
        throw new ConstraintError('', `with the others it makes more than ${MOST_SETS} sets of names; use fewer patterns`)
    })
  return sets.flatMap(({ texts, matched }) => {
    const said = saidOf(facts, undefined, (source) => matched.has(source))
    const value = closed && !said.matched ? undefined : values.grammarOf(said.items)
    const key = value && byStates(texts, 'json', rules, '"\\""')
    return value === undefined || key === undefined ? [] : [{ key: `${QUOTE} ${key}`, value }]
  })
}

const QUOTE = literal('"')

const place = ({ members }: Facts, source: string): string =>
  members.flatMap(({ patterns }) => patterns).find((one) => one.source === source)?.at ?? ''
