/** Arrays: items in their places, how many, how many of a kind, and none like another. */
import { ConstraintError } from '../ebnf.ts'
import type { Contained, Facts, Item } from './facts.ts'
import { arrayByStates, arrayOf } from './members.ts'
import type { Values } from './objects.ts'
import { sameValue } from './values.ts'

/** Undefined: there is none. */
export function itemsOf(values: Values, facts: Facts, constant: (value: unknown) => string): string | undefined {
  const { minItems: least, maxItems: most, contains, unique } = facts
  if (most !== undefined && least > most) return undefined
  const places = Math.max(0, ...facts.items.map(({ first }) => first.length))
  const first = Array.from({ length: places }, (_, i) => schemasAt(facts, i))
  const rest = schemasAt(facts, places)
  const differing = unique !== undefined && (most === undefined || most > 1)
  if (differing) return differ(values, facts, first, rest, constant)
  if (contains.length > 0) return containing(values, facts, first, rest)
  const reached = most === undefined || most > places
  return arrayOf(
    values.rules,
    first.slice(0, most).map((items) => values.grammarOf(items)),
    reached ? values.grammarOf(rest) : undefined,
    least,
    most,
  )
}

/** What is said of an item by its place. */
function schemasAt({ items, unevaluatedItems }: Facts, place: number): Item[] {
  const saying = items.filter(({ first, rest }) => place < first.length || rest !== undefined)
  const all = saying.map(({ first, rest }) => first[place] ?? rest)
  const saidBy = saying.map(({ owners }) => owners)
  for (const { item, owner, owners } of [...unevaluatedItems].sort((a, b) => b.owners.length - a.owners.length)) {
    if (saidBy.some((own) => own.includes(owner))) continue
    all.push(item)
    saidBy.push(owners)
  }
  return all
}

const tooMany = (at: string) => () =>
  new ConstraintError(at, 'there are too many states to keep count of; allow fewer items, or fewer different ones')

/** Places and counts, as far as they matter. */
interface Counted {
  place: number
  counts: readonly number[]
}

/** With as many of some kinds as there must be. */
function containing(values: Values, facts: Facts, first: readonly Item[][], rest: readonly Item[]): string | undefined {
  const { minItems: least, maxItems: most, contains } = facts
  const last = Math.max(first.length, least, most ?? 0)
  const caps = contains.map(({ least, most }) => Math.max(least, most === undefined ? 0 : most + 1))
  const turned = ({ item }: Contained): Item => ({ ...item, negated: !item.negated })
  return arrayByStates<Counted>(
    values.rules,
    { place: 0, counts: contains.map(() => 0) },
    ({ place, counts }) => `${place}:${counts.join()}`,
    ({ place, counts }) =>
      place >= least && contains.every(({ least, most }, i) => counts[i] >= least && (most === undefined || counts[i] <= most)),
    ({ place, counts }) => {
      if (place === most) return []
      const own = first[place] ?? rest
      const next = Math.min(place + 1, last)
      // Of each kind an item is one or is none; where there is no most, one that is none may be one as well.
      let choices: { items: Item[]; counts: number[] }[] = [{ items: [...own], counts: [] }]
      for (const [i, one] of contains.entries())
        choices = choices.flatMap(({ items, counts: so }) => {
          const enough = one.most === undefined && counts[i] >= one.least
          if (enough) return [{ items, counts: [...so, counts[i]] }]
          const found = { items: [...items, one.item], counts: [...so, Math.min(counts[i] + 1, caps[i])] }
          const other = { items: one.most === undefined ? items : [...items, turned(one)], counts: [...so, counts[i]] }
          const full = one.most !== undefined && counts[i] + 1 > one.most
          return full ? [other] : [found, other]
        })
      return choices.flatMap(({ items, counts }) => {
        const value = values.grammarOf(items)
        return value === undefined ? [] : [[value, { place: next, counts }] as [string, Counted]]
      })
    },
    tooMany(contains[0].at),
  )
}

/** Values of which there may be as many in a place. */
const MOST_VALUES = 64

/** Without two that are alike: for values that are listed. */
function differ(
  values: Values,
  facts: Facts,
  first: readonly Item[][],
  rest: readonly Item[],
  constant: (value: unknown) => string,
): string | undefined {
  const { minItems: least, maxItems: most, contains } = facts
  const at = facts.unique as string
  const all: unknown[] = []
  const numbered = (items: readonly Item[]) => {
    const some = finite(values, items)
    if (!some)
      throw new ConstraintError(
        at,
        'it is supported where items are of listed values (enum, const, boolean, null, a few whole numbers), or at most one may be there',
      )
    return some.map((value) => {
      const known = all.findIndex((one) => sameValue(one, value))
      return known >= 0 ? known : all.push(value) - 1
    })
  }
  const placed = first.slice(0, most).map(numbered)
  const others = most === undefined || most > first.length ? numbered(rest) : []
  const found = all.map((value) => contains.map(({ item }) => values.checker.keeps(value, [item])))
  const texts = all.map(constant)
  interface State {
    place: number
    used: readonly number[]
  }
  const last = Math.max(placed.length, least)
  return arrayByStates<State>(
    values.rules,
    { place: 0, used: [] },
    ({ place, used }) => `${place}:${used.join()}`,
    ({ place, used }) =>
      place >= least &&
      contains.every(({ least, most }, i) => {
        const count = used.filter((one) => found[one][i]).length
        return count >= least && (most === undefined || count <= most)
      }),
    ({ place, used }) => {
      if (used.length === most) return []
      const free = (place < placed.length ? placed[place] : others).filter((one) => !used.includes(one))
      return free.map(
        (one) =>
          [texts[one], { place: Math.min(place + 1, last), used: [...used, one].sort((a, b) => a - b) }] as [string, State],
      )
    },
    tooMany(at),
  )
}

/** All values that keep to these, if they are few and of one spelling each. */
function finite({ ways, checker }: Values, items: readonly Item[]): unknown[] | undefined {
  const found: unknown[] = []
  for (const { values, kinds, integer, bounds } of ways.of(items)) {
    const { low, high } = bounds
    if (values) found.push(...values)
    else {
      for (const kind of kinds) {
        if (kind === 'boolean') found.push(true, false)
        else if (kind === 'null') found.push(null)
        else if (kind === 'number' && integer && low !== undefined && high !== undefined && high - low < MOST_VALUES)
          for (let value = Math.ceil(low); value <= high; value++) found.push(value)
        else return undefined
      }
    }
  }
  const some = found.filter((value) => checker.keeps(value, items))
  const different = some.filter((value, i) => !some.slice(0, i).some((one) => sameValue(one, value)))
  return different.length <= MOST_VALUES ? different : undefined
}
