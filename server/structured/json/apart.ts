/** How the schemas of a oneOf are told apart, of which exactly one must hold. */
import { ConstraintError } from '../ebnf.ts'
import { within } from './checked.ts'
import type { Facts, Item } from './facts.ts'
import { demanding } from './facts.ts'
import { kindOf } from './keywords.ts'
import type { Turning } from './turning.ts'
import { sameValue } from './values.ts'

export interface Parting {
  /** A member that tells them apart, which must be there (a union's kind that has a default). */
  demanded: string | undefined
  /** Of each, those others that it must be said not to be valid by. */
  excluded: readonly (readonly number[])[]
}

/** Throws ConstraintError where they cannot be told apart. */
export function apart(ways: Turning, item: Item, branches: readonly unknown[]): Parting {
  const place = within(item.at, 'oneOf')
  const each = branches.map((branch, i) => ways.of([ways.sameValue(item, branch, `${place}.${i}`)]))
  const overlapping = (sets: readonly (readonly Facts[])[]) =>
    sets.map((set, i) => sets.flatMap((other, j) => (i !== j && !exclude(ways, set, other, 0) ? [j] : [])))
  const plainly = overlapping(each)
  const none = (sets: readonly (readonly number[])[]) => sets.every((set) => set.length === 0)
  if (none(plainly)) return { demanded: undefined, excluded: plainly }
  for (const name of describedBy(each)) {
    const demanded = each.map((set) => set.map((facts) => demanding(facts, [name])))
    if (none(overlapping(demanded))) return { demanded: name, excluded: each.map(() => []) }
  }
  try {
    for (const [i, others] of plainly.entries())
      for (const j of others)
        ways.of([ways.sameValue(item, branches[i], `${place}.${i}`), ways.sameValue(item, branches[j], `${place}.${j}`, true)])
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    throw new ConstraintError(
      place,
      `its schemas are not seen to exclude each other, and that one of them does not hold cannot be said (${error.at}: ${error.message}); give each a property with another const, or use anyOf`,
    )
  }
  return { demanded: undefined, excluded: plainly }
}

/** Members that all of them describe. */
function describedBy(each: readonly (readonly Facts[])[]): string[] {
  const names = each.flat().map(({ members }) => new Set(members.flatMap(({ named }) => [...named.keys()])))
  const [first, ...others] = names
  return [...(first ?? [])].filter((name) => others.every((set) => set.has(name)))
}

const MOST_DEPTH = 20

/** Whether no value is valid by both, as far as that can be seen. */
function exclude(ways: Turning, some: readonly Facts[], others: readonly Facts[], depth: number): boolean {
  return depth < MOST_DEPTH && some.every((a) => others.every((b) => disjoint(ways, a, b, depth)))
}

function disjoint(ways: Turning, a: Facts, b: Facts, depth: number): boolean {
  if (a.values && b.values) return !a.values.some((one) => b.values?.some((other) => sameValue(one, other)))
  const [kinds, otherKinds] = [a, b].map(kindsOf)
  const common = [...kinds].filter((kind) => otherKinds.has(kind))
  if (common.length === 0) return true
  if (common.length > 1 || common[0] !== 'object') return false
  return [...a.required].some((name) => {
    if (!b.required.has(name)) return false
    const [own, its] = [a, b].map(({ members }) => members.flatMap(({ named }) => named.get(name) ?? []))
    return own.length > 0 && its.length > 0 && exclude(ways, ways.of(own), ways.of(its), depth + 1)
  })
}

/** Kinds of all values that are valid: that a keyword speaks of objects does not keep texts from being valid by it. */
const kindsOf = ({ kinds, values }: Facts): ReadonlySet<string> =>
  values ? new Set(values.map(kindOf).filter((kind) => kinds.has(kind))) : kinds
