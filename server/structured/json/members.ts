/** The insides of JSON objects and arrays: members with their commas, in order, as rules. */
import { characters, complement, either, isWritable, literal, type Rules, repeated, sequence, without } from '../ebnf.ts'
import { character } from '../regex.ts'
import { anyString, restOfString } from './strings.ts'

/**
 * White space between tokens, bounded: without a bound a model that is made to write JSON may write spaces for ever. 20 are a line's end and the indentation of nine levels.
 */
export const MOST_SPACE = 20
export const space = (rules: Rules): string => rules.rule(`[ \\n\\t]{0,${MOST_SPACE}}`)

export interface Member {
  name: string
  required: boolean
  /** Its value; undefined: it must not be there. */
  value: string | undefined
}

export interface Others {
  value: string
  /** At most so many; undefined: any number. */
  most?: number
}

const member = (rules: Rules, key: string, value: string) => {
  const ws = space(rules)
  return `${key} ${ws} ":" ${ws} ${value}`
}

/**
 * An object with these members, in this order, and then `others` if there may be any, whose names are none of theirs. `notEmpty`: with one of them at least. Undefined: there is
 * none.
 */
export function objectOf(
  rules: Rules,
  members: readonly Member[],
  others: Others | undefined,
  notEmpty: boolean,
): string | undefined {
  const ws = space(rules)
  const comma = `${ws} "," ${ws}`
  const extra = others && rules.rule(member(rules, otherName(rules, members), others.value))
  const most = others?.most
  const more = extra && most !== 0 ? repeated(`${comma} ${extra}`, 0, most) : ''
  const only =
    extra && most !== 0
      ? `(${[extra, repeated(`${comma} ${extra}`, 0, most === undefined ? undefined : most - 1)].join(' ')})`
      : undefined
  // What may follow from a member on: where one has come before, and where none has. From the end on.
  let after: string | undefined = more === '' ? '""' : rules.rule(more)
  let first: string | undefined = either([only, notEmpty ? undefined : '""'])
  for (const { name, required, value } of [...members].reverse()) {
    if (value === undefined) {
      if (required) return undefined
      continue
    }
    const own = member(rules, literal(JSON.stringify(name)), value)
    const here: string | undefined = sequence([comma, own, after])
    const begins: string | undefined = sequence([own, after])
    after = ruled(rules, required ? here : either([here, after]))
    first = ruled(rules, required ? begins : either([begins, first]))
  }
  return first === undefined ? undefined : rules.rule(first === '""' ? `"{" ${ws} "}"` : `"{" ${ws} ${first} ${ws} "}"`)
}

const ruled = (rules: Rules, body: string | undefined) => (body === undefined || body === '""' ? body : rules.rule(body))

/** A string that is none of the members' names. As long as it is like one of them, no character is escaped by its number: it could be any. */
function otherName(rules: Rules, members: readonly Member[]): string {
  const names = members.map(({ name }) => [...name])
  return names.length === 0 ? anyString(rules) : rules.rule(`"\\"" ${differing(rules, names)}`)
}

const ALL = complement([])
const BEYOND = complement([[0, 0x7f]])
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
      sequence([character(isWritable(others) ? others : without(others, BEYOND), 'json'), restOfString(rules)]),
      ...[...branches].map(([head, tails]) => sequence([character(codeOf(head), 'json'), differing(rules, tails)])),
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
  const comma = `${ws} "," ${ws}`
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
