/** JSON numbers between bounds, as EBNF. Bounds are decimal; what is made has no exponent and at most 15 digits, so that a reader's rounding does not move it across a bound. */
import { ConstraintError, either, repeated, sequence } from '../ebnf.ts'

/** Digits of a number. More than that, doubles differ no more. */
const MOST_DIGITS = 15

export interface Bounds {
  low?: number
  high?: number
  /** The bound itself is outside. */
  aboveLow?: boolean
  belowHigh?: boolean
}

const digit = (low: number, high: number) =>
  low > high ? undefined : low === high ? `"${low}"` : low === 0 && high === 9 ? '[0-9]' : `[${low}-${high}]`
const digits = (least: number, most = least) => (most <= 0 ? '""' : repeated('[0-9]', least, most))

/** As many digits as `a` and `b` have, between the two. */
function sameLength(a: string, b: string): string | undefined {
  if (a === '') return '""'
  if (/^0*$/.test(a) && /^9*$/.test(b)) return digits(a.length)
  const [low, high] = [Number(a[0]), Number(b[0])]
  const rest = a.length - 1
  if (low === high) return sequence([digit(low, low), sameLength(a.slice(1), b.slice(1))])
  return either([
    sequence([digit(low, low), sameLength(a.slice(1), '9'.repeat(rest))]),
    sequence([digit(low + 1, high - 1), digits(rest)]),
    sequence([digit(high, high), sameLength('0'.repeat(rest), b.slice(1))]),
  ])
}

/** Integers from `low` (0 or more) to `high`, without a sign. */
function natural(low: bigint, high: bigint): string | undefined {
  if (low > high) return undefined
  const alternatives: (string | undefined)[] = []
  for (let length = String(low).length; length <= String(high).length; length++) {
    const least = length === 1 ? 0n : 10n ** BigInt(length - 1)
    const most = 10n ** BigInt(length) - 1n
    alternatives.push(sameLength(String(low > least ? low : least), String(high < most ? high : most)))
  }
  return either(alternatives)
}

const MOST = 10n ** BigInt(MOST_DIGITS) - 1n

/** Undefined: there is none. */
export function integers({ low, high, aboveLow, belowHigh }: Bounds): string | undefined {
  const least = low === undefined ? -MOST : BigInt(Math.ceil(low)) + (aboveLow && Number.isInteger(low) ? 1n : 0n)
  const most = high === undefined ? MOST : BigInt(Math.floor(high)) - (belowHigh && Number.isInteger(high) ? 1n : 0n)
  const max = (a: bigint, b: bigint) => (a > b ? a : b)
  const min = (a: bigint, b: bigint) => (a < b ? a : b)
  const from = max(least, -MOST)
  const to = min(most, MOST)
  return either([sequence(['"-"', natural(max(1n, -to), -from)]), natural(max(0n, from), to)])
}

/** A decimal of 0 or more, as its digits before and behind the point, without zeros at the end. */
interface Decimal {
  whole: bigint
  fraction: string
}

function decimal(value: number): Decimal {
  const text = String(value)
  const parts = /^(\d+)(?:\.(\d+))?$/.exec(text)
  if (!parts || parts[1].length > MOST_DIGITS)
    throw new ConstraintError(
      '',
      `${text} is too large or too small for the bound of a number; bounds of up to 15 digits are supported`,
    )
  return { whole: BigInt(parts[1]), fraction: (parts[2] ?? '').replace(/0+$/, '') }
}

/** What is known of the digits behind a point while they are written, one by one. */
interface Tail {
  /** How many there may still be. */
  left: number
  /** There must be one: it is the first. */
  first: boolean
}

const after = ({ left }: Tail): Tail => ({ left: left - 1, first: false })

/** At least `fraction`, or above it. */
function notBelow(fraction: string, strict: boolean, tail: Tail): string | undefined {
  const { left, first } = tail
  if (fraction === '')
    return strict ? sequence([repeated('"0"', 0, Math.max(0, left - 1)), '[1-9]']) : digits(first ? 1 : 0, left)
  const next = Number(fraction[0])
  return either([
    sequence([digit(next + 1, 9), digits(0, left - 1)]),
    sequence([digit(next, next), notBelow(fraction.slice(1), strict, after(tail))]),
  ])
}

/** At most `fraction`, or below it; no more digits mean zeros. */
function notAbove(fraction: string, strict: boolean, tail: Tail): string | undefined {
  const { left, first } = tail
  if (fraction === '') return strict ? undefined : repeated('"0"', first ? 1 : 0, left)
  const next = Number(fraction[0])
  return either([
    first ? undefined : '""',
    sequence([digit(0, next - 1), digits(0, left - 1)]),
    sequence([digit(next, next), notAbove(fraction.slice(1), strict, after(tail))]),
  ])
}

function between(low: string, high: string, aboveLow: boolean, belowHigh: boolean, tail: Tail): string | undefined {
  if (low === '' && !aboveLow) return notAbove(high, belowHigh, tail)
  if (high === '') return undefined
  const [a, b] = [Number(low[0] ?? 0), Number(high[0])]
  if (a > b) return undefined
  if (a === b) return sequence([digit(a, a), between(low.slice(1), high.slice(1), aboveLow, belowHigh, after(tail))])
  return either([
    sequence([digit(a, a), notBelow(low.slice(1), aboveLow, after(tail))]),
    sequence([digit(a + 1, b - 1), digits(0, tail.left - 1)]),
    sequence([digit(b, b), notAbove(high.slice(1), belowHigh, after(tail))]),
  ])
}

/** A whole part, and what may stand behind its point; without one only where `bare`. */
const pointed = (whole: string | undefined, behind: string | undefined, bare: boolean) =>
  either([bare ? whole : undefined, sequence([whole, '"."', behind])])

/** Decimals of 0 or more. */
function positives(low: number, high: number | undefined, aboveLow: boolean, belowHigh: boolean): string | undefined {
  if (high !== undefined && (low > high || (low === high && (aboveLow || belowHigh)))) return undefined
  const from = decimal(low)
  const to = high === undefined ? undefined : decimal(high)
  const wholeDigits = to ? String(to.whole).length : Math.max(9, String(from.whole).length)
  const left = Math.max(MOST_DIGITS - wholeDigits, from.fraction.length + 1, (to?.fraction.length ?? 0) + 1)
  const tail = { left, first: true }
  const bareFrom = from.fraction === '' && !aboveLow
  const atFrom = natural(from.whole, from.whole)
  if (to?.whole === from.whole) return pointed(atFrom, between(from.fraction, to.fraction, aboveLow, belowHigh, tail), bareFrom)
  const top = to?.whole ?? 10n ** BigInt(wholeDigits)
  return either([
    pointed(atFrom, notBelow(from.fraction, aboveLow, tail), bareFrom),
    pointed(natural(from.whole + 1n, top - 1n), digits(1, left), true),
    to && pointed(natural(to.whole, to.whole), notAbove(to.fraction, belowHigh, tail), !(to.fraction === '' && belowHigh)),
  ])
}

/** Undefined: there is none. */
export function numbers({ low, high, aboveLow = false, belowHigh = false }: Bounds): string | undefined {
  const negative = low === undefined || low < 0
  const positive = high === undefined || high >= 0
  return either([
    negative
      ? sequence([
          '"-"',
          positives(
            high === undefined || high >= 0 ? 0 : -high,
            low === undefined ? undefined : -low,
            high !== undefined && high <= 0 && belowHigh,
            aboveLow,
          ),
        ])
      : undefined,
    positive
      ? positives(low === undefined || low < 0 ? 0 : low, high, low !== undefined && low >= 0 && aboveLow, belowHigh)
      : undefined,
  ])
}
