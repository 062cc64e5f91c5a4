/** XGrammar's EBNF as it is written: literals, classes of characters, rules. */
import { byBytes } from './utf8-classes.ts'

/** A text that cannot be made a grammar, with where in it, and why. */
export class ConstraintError extends Error {
  /** From the constraint's own field on: `properties.a.not`; '' is the whole. */
  readonly at: string
  constructor(at: string, message: string) {
    super(message)
    this.at = at
  }
}

/** UTF-16 units that a grammar may have as EBNF. */
const MOST_TEXT = 1 << 20

/** Code points from a to b, in order, not touching. */
export type Characters = readonly (readonly [number, number])[]

const LAST = 0x10ffff

/** Sorts and joins. Surrogates are no characters. */
export function characters(ranges: Iterable<readonly [number, number]>): Characters {
  const sorted = [...ranges].sort((a, b) => a[0] - b[0])
  const joined: [number, number][] = []
  for (const [low, high] of sorted) {
    const last = joined.at(-1)
    if (last && low <= last[1] + 1) last[1] = Math.max(last[1], high)
    else joined.push([low, high])
  }
  return joined.flatMap(([low, high]): [number, number][] => {
    if (high < 0xd800 || low > 0xdfff) return [[low, high]]
    const parts: [number, number][] = [
      [low, 0xd7ff],
      [0xe000, high],
    ]
    return parts.filter(([a, b]) => a <= b)
  })
}

export function complement(of: Characters): Characters {
  const rest: [number, number][] = []
  let next = 0
  for (const [low, high] of of) {
    if (low > next) rest.push([next, low - 1])
    next = high + 1
  }
  if (next <= LAST) rest.push([next, LAST])
  return characters(rest)
}

export const without = (all: Characters, left: Characters): Characters => complement(characters([...complement(all), ...left]))

const escaped = (code: number) =>
  code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`

const ASCII: Characters = [[0, 0x7f]]
const BEYOND: Characters = complement(ASCII)

/** Both. */
export const common = (a: Characters, b: Characters): Characters => complement(characters([...complement(a), ...complement(b)]))

/** Characters of an expression from which on it is a rule. */
const LONG = 60

/**
 * One of these characters, which must be some. Those beyond ASCII are written byte by byte (utf8-classes.ts), or, where all of them are meant, by a negative class of ASCII, which
 * XGrammar masks faster.
 */
export function oneOf(set: Characters, rules: Rules): string {
  const within = without(set, BEYOND)
  const beyond = without(set, ASCII)
  if (beyond.length > 0 && complement(characters([...beyond, ...ASCII])).length === 0)
    return `[^${ranges(without(ASCII, within))}]`
  const bytes = beyond.length > 0 ? byBytes(beyond) : undefined
  const one = either([within.length > 0 ? `[${ranges(within)}]` : undefined, bytes]) as string
  return one.length > LONG ? rules.rule(one) : one
}

/** Of ASCII. Without any: what no text has, so that the class stays one. */
function ranges(set: Characters): string {
  const one = (code: number) => (/[0-9A-Za-z]/.test(String.fromCharCode(code)) ? String.fromCharCode(code) : escaped(code))
  return set.map(([low, high]) => (low === high ? one(low) : `${one(low)}-${one(high)}`)).join('')
}

/** A text as it stands. */
export function literal(text: string): string {
  let body = ''
  for (const char of text) {
    const code = char.codePointAt(0) as number
    if (code >= 0xd800 && code <= 0xdfff) throw new ConstraintError('', 'it holds half of a surrogate pair, which no text has')
    body += /[ !#-[\]-~]/.test(char) ? char : escaped(code)
  }
  return `"${body}"`
}

/** Alternatives; undefined ones cannot be. Undefined: none can. */
export function either(alternatives: readonly (string | undefined)[]): string | undefined {
  const possible = [...new Set(alternatives.filter((one) => one !== undefined))]
  return possible.length > 1 ? `(${possible.join(' | ')})` : possible[0]
}

/** One after the other; undefined if one of them cannot be. */
export function sequence(parts: readonly (string | undefined)[]): string | undefined {
  if (parts.includes(undefined)) return undefined
  return parts.length > 0 ? parts.join(' ') : '""'
}

/** `most` undefined: any number. */
export function repeated(what: string, least: number, most?: number): string {
  if (most === 0) return '""'
  if (least === 1 && most === 1) return what
  const whole = `(${what})`
  if (least === 0 && most === 1) return `${whole}?`
  if (most === undefined && least <= 1) return `${whole}${least === 0 ? '*' : '+'}`
  return `${whole}{${least},${most ?? ''}}`
}

/** The rules of one grammar: equal ones are one. */
export class Rules {
  private readonly bodies: string[] = []
  private readonly names = new Map<string, string>()
  private size = 0

  /** A rule that may be named before it is known; its body is given to `define`. */
  reserve(): string {
    this.bodies.push('')
    return `r${this.bodies.length - 1}`
  }

  define(name: string, body: string): void {
    this.size += body.length
    if (this.size > MOST_TEXT) throw new ConstraintError('', 'it makes too large a grammar; ask for less at once')
    this.bodies[Number(name.slice(1))] = body
  }

  rule(body: string): string {
    const known = this.names.get(body)
    if (known) return known
    const name = this.reserve()
    this.names.set(body, name)
    this.define(name, body)
    return name
  }

  /** A rule whose body names the rule itself; one for each key. */
  recursive(key: string, body: (name: string) => string): string {
    const known = this.names.get(key)
    if (known) return known
    const name = this.reserve()
    this.names.set(key, name)
    this.define(name, body(name))
    return name
  }

  text(root: string): string {
    return [`root ::= ${root}`, ...this.bodies.map((body, i) => `r${i} ::= ${body}`)].join('\n')
  }
}
