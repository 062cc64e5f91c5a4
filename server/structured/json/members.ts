/** The insides of JSON objects and arrays: members with their commas, in order, as rules. */
import { characters, complement, either, literal, type Rules, repeated, sequence, without } from '../ebnf.ts'
import { character } from '../regular/write.ts'
import { anyString, restOfString } from './strings.ts'

/** Spaces that a line may begin with: six levels of four. */
const MOST_INDENT = 24

/**
 * White space where a line may end: behind an opening bracket and a comma, before a closing bracket. It is bounded, and as models write it: nothing, a space, or a line's end and its
 * indentation. Without a bound a model that is made to write JSON may write spaces for ever.
 */
export const space = (rules: Rules): string => rules.rule(`" "? ("\\n" ([ ]{0,${MOST_INDENT}} | [\\t]{1,8}))?`)

/** Around a colon, and before a comma. */
const colonOf = (rules: Rules) => rules.rule('" "? ":" " "?')
const commaOf = (rules: Rules) => rules.rule(`" "? "," ${space(rules)}`)

export interface Member {
  name: string
  required: boolean
  /** Its value; undefined: it must not be there. */
  value: string | undefined
}

/** Members that are not named; at least one of them is some. */
export interface Others {
  key: string
  value: string
}

const member = (rules: Rules, key: string, value: string) => `${key} ${colonOf(rules)} ${value}`

/** How many there may be. Of others each may come twice, which makes it one: at most one of them counts for the least. */
export interface Count {
  least: number
  most: number | undefined
}

/** An object with these members, in this order, and then `others` if there may be any. Undefined: there is none. */
export function objectOf(
  rules: Rules,
  members: readonly Member[],
  others: readonly Others[],
  { least, most }: Count,
): string | undefined {
  if (members.some(({ required, value }) => required && value === undefined)) return undefined
  const ws = space(rules)
  const comma = commaOf(rules)
  const extra =
    others.length > 0 ? rules.rule(either(others.map(({ key, value }) => member(rules, key, value))) as string) : undefined
  const possible = members.filter(({ value }) => value !== undefined)
  const demanded = possible.filter(({ required }) => required).length
  if (most !== undefined && (most < least || most < demanded)) return undefined
  // Members that have come are counted as far as it matters: whether there was one, whether there are enough, whether there may be more.
  const bounded = most !== undefined && (extra !== undefined || possible.length > most)
  const cap = bounded ? Math.min(most, possible.length) : Math.max(1, demanded < least ? least : 0)
  const ending = (count: number): string | undefined => {
    const left = most === undefined ? undefined : most - count
    const needed = Math.max(0, least - count)
    const may = extra !== undefined && left !== 0
    if (needed > (may ? 1 : 0)) return undefined
    if (!may) return '""'
    if (count > 0) return repeated(`${comma} ${extra}`, needed, left)
    const some = `${extra} ${repeated(`${comma} ${extra}`, 0, left === undefined ? undefined : left - 1)}`
    return needed > 0 ? some : `(${some})?`
  }
  // What may follow from a member on, for each count that can be there: from the end on.
  const countsAt = (place: number): [from: number, to: number] => [
    Math.min(cap, possible.slice(0, place).filter(({ required }) => required).length),
    Math.min(cap, place),
  ]
  let after: (string | undefined)[] = []
  const [least0, most0] = countsAt(possible.length)
  for (let count = least0; count <= most0; count++) after[count] = ruled(rules, ending(count))
  for (let place = possible.length - 1; place >= 0; place--) {
    const { name, required, value } = possible[place]
    const own = member(rules, literal(JSON.stringify(name)), value as string)
    const before: (string | undefined)[] = []
    const [from, to] = countsAt(place)
    for (let count = from; count <= to; count++) {
      const full = bounded && count + 1 > most
      const next = full ? undefined : after[Math.min(cap, count + 1)]
      const taken = sequence([...(count > 0 ? [comma] : []), own, next])
      before[count] = ruled(rules, required ? taken : either([taken, after[count]]))
    }
    after = before
  }
  const [first] = after
  return first === undefined ? undefined : rules.rule(first === '""' ? `"{" ${ws} "}"` : `"{" ${ws} ${first} ${ws} "}"`)
}

const ruled = (rules: Rules, body: string | undefined) => (body === undefined || body === '""' ? body : rules.rule(body))

/** A string that is none of the members' names. As long as it is like one of them, no character is escaped by its number: it could be any. */
export function otherName(rules: Rules, all: readonly string[]): string {
  const names = all.map((name) => [...name])
  return names.length === 0 ? anyString(rules) : rules.rule(`"\\"" ${differing(rules, names)}`)
}

const ALL = complement([])
const QUOTE = '"\\""'

/** What may follow where `names` are what is left of those that begin like it: the rest of a string that is none of them. */
function differing(rules: Rules, names: readonly (readonly string[])[]): string {
  const rest = names.filter((name) => name.length > 0)
  const branches = new Map<string, (readonly string[])[]>()
  for (const [head, ...tail] of rest) branches.set(head, [...(branches.get(head) ?? []), tail])
  const heads = characters([...branches.keys()].map((char) => [char.codePointAt(0) as number, char.codePointAt(0) as number]))
  const others = without(ALL, heads)
  return rules.rule(
    either([
      rest.length === names.length ? QUOTE : undefined,
      sequence([character(others, 'json', rules), restOfString(rules)]),
      ...[...branches].map(([head, tails]) => sequence([character(codeOf(head), 'json', rules), differing(rules, tails)])),
    ]) as string,
  )
}

const codeOf = (char: string) => characters([[char.codePointAt(0) as number, char.codePointAt(0) as number]])

/** An array that begins with `first`, of which `least` must be there, and goes on with as many of `rest` as make `least` to `most` in all. Undefined: there is none. */
export function arrayOf(
  rules: Rules,
  first: readonly (string | undefined)[],
  rest: string | undefined,
  least: number,
  most: number | undefined,
): string | undefined {
  const ws = space(rules)
  const comma = commaOf(rules)
  const impossible = first.indexOf(undefined)
  const places = Math.min(impossible < 0 ? first.length : impossible, most ?? Number.POSITIVE_INFINITY)
  const open = rest !== undefined && impossible < 0 && (most === undefined || most > places)
  if (least > places && !open) return undefined
  const items = (from: number, to: number | undefined, led: boolean) => {
    if (led) return repeated(`${comma} ${rest}`, from, to)
    const whole = `${rest} ${repeated(`${comma} ${rest}`, Math.max(0, from - 1), to === undefined ? undefined : to - 1)}`
    return from > 0 ? whole : `(${whole})?`
  }
  let inner = open ? items(Math.max(0, least - places), most === undefined ? undefined : most - places, places > 0) : '""'
  for (let i = places - 1; i >= 0; i--) {
    const own = `${i > 0 ? `${comma} ` : ''}${first[i]} ${inner}`
    inner = rules.rule(i < least ? own : `(${own})?`)
  }
  return rules.rule(inner === '""' ? `"[" ${ws} "]"` : `"[" ${ws} ${inner} ${ws} "]"`)
}

/** An array of items that come one by one, each as an automaton has it: `items` of a state, and where each leads; `ends`: it may end there. Undefined: there is none. */
export function arrayByStates<State>(
  rules: Rules,
  begin: State,
  nameOf: (state: State) => string,
  ends: (state: State) => boolean,
  items: (state: State) => readonly [item: string, to: State][],
  tooMany: () => Error,
): string | undefined {
  const [ws, comma] = [space(rules), commaOf(rules)]
  // The beginning is a state of its own: no comma stands before its items.
  const names = new Map<string, number>()
  const states: State[] = [begin]
  const numberOf = (state: State) => {
    const name = nameOf(state)
    const known = names.get(name)
    if (known !== undefined) return known
    if (states.length >= MOST_STATES) throw tooMany()
    names.set(name, states.length)
    return states.push(state) - 1
  }
  const ways: [item: string, to: number][][] = []
  for (let i = 0; i < states.length; i++)
    ways.push(items(states[i]).map(([item, to]) => [item, numberOf(to)] as [string, number]))
  // From which an end can be reached.
  const live = states.map(ends)
  for (let changed = true; changed; ) {
    changed = false
    for (const [i, own] of ways.entries())
      if (!live[i] && own.some(([, to]) => live[to])) {
        live[i] = true
        changed = true
      }
  }
  if (!live[0]) return undefined
  const named = states.map((_, i) => (live[i] ? rules.reserve() : ''))
  for (const [i, state] of states.entries()) {
    if (!live[i]) continue
    const on = ways[i].filter(([, to]) => live[to]).map(([item, to]) => `${i === 0 ? '' : `${comma} `}${item} ${named[to]}`)
    rules.define(named[i], either([ends(state) ? '""' : undefined, ...on]) as string)
  }
  return rules.rule(`"[" ${ws} ${named[0]} ${ws} "]"`)
}

/** States of an array whose items are counted, or are to differ. */
const MOST_STATES = 1024
