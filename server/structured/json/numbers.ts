/** JSON numbers between bounds. Bounds are decimal; what is made has no exponent and at most 15 digits, so that a reader's rounding does not move it across a bound. */
import { ConstraintError } from '../ebnf.ts'
import { explored } from '../regular/automaton.ts'
import { alt, EMPTY, NOTHING, type Regular, range, repeat, seq, text } from '../regular/regular.ts'

/** Digits of a number. More than that, doubles differ no more. */
const MOST_DIGITS = 15

export interface Bounds {
  low?: number
  high?: number
  /** The bound itself is outside. */
  aboveLow?: boolean
  belowHigh?: boolean
}

const digit = (low: number, high: number) => (low > high ? NOTHING : range(String(low), String(high)))
const DIGIT = digit(0, 9)
const ZERO = digit(0, 0)
const digits = (least: number, most = least) => (most <= 0 ? EMPTY : repeat(DIGIT, least, most))

/** As many digits as `a` and `b` have, between the two. */
function sameLength(a: string, b: string): Regular {
  if (a === '') return EMPTY
  if (/^0*$/.test(a) && /^9*$/.test(b)) return digits(a.length)
  const [low, high] = [Number(a[0]), Number(b[0])]
  const rest = a.length - 1
  if (low === high) return seq(digit(low, low), sameLength(a.slice(1), b.slice(1)))
  return alt(
    seq(digit(low, low), sameLength(a.slice(1), '9'.repeat(rest))),
    seq(digit(low + 1, high - 1), digits(rest)),
    seq(digit(high, high), sameLength('0'.repeat(rest), b.slice(1))),
  )
}

/** Integers from `low` (0 or more) to `high`, without a sign. */
function natural(low: bigint, high: bigint): Regular {
  if (low > high) return NOTHING
  const alternatives: Regular[] = []
  for (let length = String(low).length; length <= String(high).length; length++) {
    const least = length === 1 ? 0n : 10n ** BigInt(length - 1)
    const most = 10n ** BigInt(length) - 1n
    alternatives.push(sameLength(String(low > least ? low : least), String(high < most ? high : most)))
  }
  return alt(...alternatives)
}

const LARGE = 10 ** MOST_DIGITS
const MOST = 10n ** BigInt(MOST_DIGITS) - 1n

export function integers({ low, high, aboveLow, belowHigh }: Bounds): Regular {
  const least = low === undefined ? -MOST : BigInt(Math.ceil(low)) + (aboveLow && Number.isInteger(low) ? 1n : 0n)
  const most = high === undefined ? MOST : BigInt(Math.floor(high)) - (belowHigh && Number.isInteger(high) ? 1n : 0n)
  const max = (a: bigint, b: bigint) => (a > b ? a : b)
  const min = (a: bigint, b: bigint) => (a < b ? a : b)
  const from = max(least, -MOST)
  const to = min(most, MOST)
  return alt(seq(text('-'), natural(max(1n, -to), -from)), natural(max(0n, from), to))
}

/** A decimal of 0 or more, as its digits before and behind the point, without zeros at the end. */
interface Decimal {
  whole: bigint
  fraction: string
}

/** Digits behind the point of a bound. */
const MOST_PLACES = 30

function decimal(value: number): Decimal {
  const { digits, exponent } = value === 0 ? { digits: 0n, exponent: 0 } : scaled(value)
  if (exponent >= 0) return { whole: digits * 10n ** BigInt(exponent), fraction: '' }
  if (-exponent > MOST_PLACES)
    throw new ConstraintError(
      '',
      `${value} is too small for the bound of a number; bounds of up to ${MOST_PLACES} places are supported`,
    )
  const spelled = String(digits).padStart(1 - exponent, '0')
  return { whole: BigInt(spelled.slice(0, exponent)), fraction: spelled.slice(exponent) }
}

function decimalOf(spelled: string): Decimal {
  const [whole, fraction = ''] = spelled.split('.')
  return { whole: BigInt(whole), fraction: fraction.replace(/0+$/, '') }
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
function notBelow(fraction: string, strict: boolean, tail: Tail): Regular {
  const { left, first } = tail
  if (fraction === '')
    return strict ? seq(repeat(ZERO, 0, Math.max(0, left - 1)), digit(1, 9), digits(0, left - 1)) : digits(first ? 1 : 0, left)
  const next = Number(fraction[0])
  return alt(
    seq(digit(next + 1, 9), digits(0, left - 1)),
    seq(digit(next, next), notBelow(fraction.slice(1), strict, after(tail))),
  )
}

/** At most `fraction`, or below it; no more digits mean zeros. */
function notAbove(fraction: string, strict: boolean, tail: Tail): Regular {
  const { left, first } = tail
  if (fraction === '') return strict ? NOTHING : repeat(ZERO, first ? 1 : 0, left)
  const next = Number(fraction[0])
  return alt(
    first ? NOTHING : EMPTY,
    seq(digit(0, next - 1), digits(0, left - 1)),
    seq(digit(next, next), notAbove(fraction.slice(1), strict, after(tail))),
  )
}

function between(low: string, high: string, aboveLow: boolean, belowHigh: boolean, tail: Tail): Regular {
  if (low === '' && !aboveLow) return notAbove(high, belowHigh, tail)
  if (high === '') return NOTHING
  const [a, b] = [Number(low[0] ?? 0), Number(high[0])]
  if (a > b) return NOTHING
  if (a === b) return seq(digit(a, a), between(low.slice(1), high.slice(1), aboveLow, belowHigh, after(tail)))
  return alt(
    seq(digit(a, a), notBelow(low.slice(1), aboveLow, after(tail))),
    seq(digit(a + 1, b - 1), digits(0, tail.left - 1)),
    seq(digit(b, b), notAbove(high.slice(1), belowHigh, after(tail))),
  )
}

/** A whole part, and what may stand behind its point; without one only where `bare`. */
const pointed = (whole: Regular, behind: Regular, bare: boolean) => alt(bare ? whole : NOTHING, seq(whole, text('.'), behind))

/** Decimals of 0 or more. */
function positives(low: number, high: number | undefined, aboveLow: boolean, belowHigh: boolean): Regular {
  if (high !== undefined && (low > high || (low === high && (aboveLow || belowHigh)))) return NOTHING
  const from = decimal(low)
  const to = high === undefined ? undefined : decimal(high)
  const wholeDigits = to ? String(to.whole).length : Math.max(9, String(from.whole).length)
  const left = Math.max(MOST_DIGITS - wholeDigits, from.fraction.length + 1, (to?.fraction.length ?? 0) + 1)
  const tail = { left, first: true }
  const bareFrom = from.fraction === '' && !aboveLow
  const atFrom = natural(from.whole, from.whole)
  if (to?.whole === from.whole) return pointed(atFrom, between(from.fraction, to.fraction, aboveLow, belowHigh, tail), bareFrom)
  const top = to?.whole ?? 10n ** BigInt(wholeDigits)
  return alt(
    pointed(atFrom, notBelow(from.fraction, aboveLow, tail), bareFrom),
    pointed(natural(from.whole + 1n, top - 1n), digits(1, left), true),
    to
      ? pointed(natural(to.whole, to.whole), notAbove(to.fraction, belowHigh, tail), !(to.fraction === '' && belowHigh))
      : NOTHING,
  )
}

export function numbers(bounds: Bounds): Regular {
  const { aboveLow = false, belowHigh = false } = bounds
  // Numbers of more digits are not written anyway.
  const within = (bound: number | undefined) => (bound !== undefined && Math.abs(bound) < LARGE ? bound : undefined)
  const [low, high] = [within(bounds.low), within(bounds.high)]
  if ((bounds.low ?? 0) >= LARGE || (bounds.high ?? 0) <= -LARGE) return NOTHING
  const negative = low === undefined || low < 0
  const positive = high === undefined || high >= 0
  return alt(
    negative
      ? seq(
          text('-'),
          positives(
            high === undefined || high >= 0 ? 0 : -high,
            low === undefined ? undefined : -low,
            high !== undefined && high <= 0 && belowHigh,
            aboveLow,
          ),
        )
      : NOTHING,
    positive
      ? positives(low === undefined || low < 0 ? 0 : low, high, low !== undefined && low >= 0 && aboveLow, belowHigh)
      : NOTHING,
  )
}

/** A decimal that is not 0 as a whole number that does not end with 0, times a power of ten. */
function scaled(value: number): { digits: bigint; exponent: number } {
  const [, whole, fraction = '', power = '0'] = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value)) as RegExpExecArray
  const all = (whole + fraction).replace(/0+$/, '')
  return { digits: BigInt(all), exponent: Number(power) - fraction.length + (whole + fraction).length - all.length }
}

/** States of an automaton of multiples. */
const MOST_STATES = 4096

/** Of texts of numbers without an exponent: those of multiples of `step`, which is above 0. Throws ConstraintError where the step is too odd to be followed. */
export function multiples(step: number): Regular {
  const { digits: base, exponent } = scaled(step)
  const modulus = Number(base)
  const zeros = Math.max(0, exponent)
  const places = Math.max(0, -exponent)
  if (base * BigInt(zeros + places + 2) > MOST_STATES)
    throw new ConstraintError('', `it is supported for steps of up to ${MOST_STATES / 2} times a power of ten, not for ${step}`)
  /** `rest`: of what stands before the zeros at the end, so many of which are counted; `behind`: digits behind the point, -1 before it. */
  interface State {
    rest: number
    ending: number
    behind: number
  }
  const next = ({ rest, ending, behind }: State, digit: number): State | undefined => {
    if (behind === places) return digit === 0 ? { rest, ending, behind } : undefined
    const seen = behind < 0 ? behind : behind + 1
    if (places > 0) return { rest: (rest * 10 + digit) % modulus, ending, behind: seen }
    if (digit === 0)
      return ending < zeros ? { rest, ending: ending + 1, behind } : { rest: (rest * 10) % modulus, ending, behind }
    let shifted = rest
    for (let i = 0; i <= ending; i++) shifted = (shifted * 10) % modulus
    return { rest: (shifted + digit) % modulus, ending: 0, behind }
  }
  const taken = ({ rest, ending, behind }: State) => {
    let padded = rest
    for (let i = Math.max(0, behind); i < places; i++) padded = (padded * 10) % modulus
    return padded === 0 && ending === zeros
  }
  const automaton = explored<State>(
    { rest: 0, ending: zeros, behind: -1 },
    ({ rest, ending, behind }) => `${rest},${ending},${behind}`,
    taken,
    function* (state) {
      if (state.behind < 0) {
        yield [45, 45, state] as const
        // A whole number that is none already is none with zeros behind its point either.
        if (places > 0 || taken(state)) yield [46, 46, { ...state, behind: 0 }] as const
      }
      for (let digit = 0; digit < 10; digit++) {
        const to = next(state, digit)
        if (to) yield [48 + digit, 48 + digit, to] as const
      }
    },
  )
  return { kind: 'automaton', automaton }
}

/** All texts of a number without an exponent. Nothing: it has none of few enough digits. */
export function spellings(value: number): Regular {
  const size = Math.abs(value)
  if (!/^\d+(\.\d+)?$/.test(String(size))) return NOTHING
  const { whole, fraction } = decimalOf(String(size))
  const zeros = repeat(ZERO, fraction === '' ? 1 : 0, undefined)
  const behind = fraction === '' ? alt(EMPTY, seq(text('.'), zeros)) : seq(text('.'), text(fraction), zeros)
  const sign = value === 0 ? repeat(text('-'), 0, 1) : text(value < 0 ? '-' : '')
  return seq(sign, text(String(whole)), behind)
}
