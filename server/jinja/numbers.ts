/** Python's int and float. */
import { JinjaError, typeError, valueError } from './errors.ts'
import { strip } from './text.ts'
import { Float, type Integer, isInteger, typeName, Undefined, type Value } from './values.ts'

/** Bits of the largest int: Python prints no int of more than 4300 digits, and a power grows faster than anything can stop it. */
const MOST_BITS = 1 << 19
/** Digits that Python turns into text, and text into int. */
const MOST_DIGITS = 4300

/** The same int, as a number if that holds it. */
export function integer(value: bigint): Integer {
  const small = Number(value)
  return Number.isSafeInteger(small) ? small : value
}

/** An int of a number without a fraction. Throws what Python's int(float) throws. */
export function truncated(value: number): Integer {
  if (Number.isNaN(value)) throw valueError('cannot convert float NaN to integer')
  if (!Number.isFinite(value)) throw new JinjaError('OverflowError', 'cannot convert float infinity to integer')
  const whole = Math.trunc(value)
  return Number.isSafeInteger(whole) ? whole + 0 : BigInt(whole)
}

/** What takes part in arithmetic; undefined: it is no number. */
export function numeric(value: Value): Integer | Float | undefined {
  if (isInteger(value) || value instanceof Float) return value
  return typeof value === 'boolean' ? Number(value) : undefined
}

export function toNumber(value: Integer | Float): number {
  if (value instanceof Float) return value.value
  if (typeof value === 'number') return value
  const number = Number(value)
  if (!Number.isFinite(number)) throw new JinjaError('OverflowError', 'int too large to convert to float')
  return number
}

/** For what needs an int: an index, a count. Throws TypeError. */
export function indexOf(value: Value, what = `'${typeName(value)}' object cannot be interpreted as an integer`): number {
  if (value instanceof Undefined) throw value.fail()
  if (typeof value === 'boolean') return Number(value)
  if (!isInteger(value)) throw typeError(what)
  // Beyond the safe ones every index and count is out of range alike.
  return typeof value === 'number' ? value : value > 0n ? Number.MAX_SAFE_INTEGER : Number.MIN_SAFE_INTEGER
}

export type Operator = '+' | '-' | '*' | '/' | '//' | '%' | '**'

/** Of two numbers. Throws ZeroDivisionError and OverflowError. */
export function calculate(operator: Operator, left: Integer | Float, right: Integer | Float): Value {
  if (left instanceof Float || right instanceof Float || operator === '/')
    return new Float(ofFloats(operator, toNumber(left), toNumber(right)))
  if (typeof left === 'number' && typeof right === 'number') {
    const small = ofSmall(operator, left, right)
    if (small !== undefined) return small
  }
  return ofIntegers(operator, BigInt(left), BigInt(right))
}

const divided = () => new JinjaError('ZeroDivisionError', 'division by zero')

/** undefined: the result is not a safe integer, or it takes more than this. */
function ofSmall(operator: Operator, left: number, right: number): number | undefined {
  let result: number
  switch (operator) {
    case '+':
      result = left + right
      break
    case '-':
      result = left - right
      break
    case '*':
      result = left * right
      break
    case '//':
      if (right === 0) throw divided()
      result = Math.floor(left / right)
      // A quotient of large ones may be rounded.
      if (!Number.isSafeInteger(result * right)) return undefined
      if (Math.abs(left) > 2 ** 50) return undefined
      break
    case '%':
      if (right === 0) throw divided()
      result = left % right
      if (result !== 0 && result < 0 !== right < 0) result += right
      break
    default:
      return undefined
  }
  return Number.isSafeInteger(result) ? result + 0 : undefined
}

function ofIntegers(operator: Operator, left: bigint, right: bigint): Value {
  switch (operator) {
    case '+':
      return integer(left + right)
    case '-':
      return integer(left - right)
    case '*':
      return integer(bounded(left * right))
    case '//': {
      if (right === 0n) throw divided()
      const quotient = left / right
      return integer(left % right !== 0n && left < 0n !== right < 0n ? quotient - 1n : quotient)
    }
    case '%': {
      if (right === 0n) throw divided()
      const rest = left % right
      return integer(rest !== 0n && rest < 0n !== right < 0n ? rest + right : rest)
    }
    case '**':
      if (right < 0n) return new Float(ofFloats('**', toNumber(left), toNumber(right)))
      if (left !== 0n && left !== 1n && left !== -1n && bits(left) * Number(right) > MOST_BITS) throw tooLarge()
      return integer(left ** right)
    default:
      throw new Error(`no arithmetic of integers: ${operator}`)
  }
}

function ofFloats(operator: Operator, left: number, right: number): number {
  switch (operator) {
    case '+':
      return left + right
    case '-':
      return left - right
    case '*':
      return left * right
    case '/':
      if (right === 0) throw divided()
      return left / right
    case '//': {
      if (right === 0) throw divided()
      return Math.floor((left - modulo(left, right)) / right + 0.25)
    }
    case '%':
      if (right === 0) throw divided()
      return modulo(left, right)
    case '**':
      if (left === 0 && right < 0) throw new JinjaError('ZeroDivisionError', '0.0 cannot be raised to a negative power')
      return left ** right
  }
}

function modulo(left: number, right: number): number {
  const rest = left % right
  if (rest !== 0 && rest < 0 !== right < 0) return rest + right
  return rest === 0 ? (right < 0 ? -0 : 0) : rest
}

const bits = (value: bigint) => (value < 0n ? -value : value).toString(16).length * 4
const tooLarge = () => new JinjaError('OverflowError', 'an integer of that size is not supported')

function bounded(value: bigint): bigint {
  if (value > 1n << BigInt(MOST_BITS) || value < -(1n << BigInt(MOST_BITS))) throw tooLarge()
  return value
}

export function integerText(value: Integer): string {
  const text = String(value)
  if (text.length > MOST_DIGITS + 1) throw valueError(`Exceeds the limit (${MOST_DIGITS} digits) for integer string conversion`)
  return text
}

/** Python's repr of a float: the shortest digits that mean it, with an exponent below 1e-4 and from 1e16. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  const [digits, exponent] = value.toExponential().split('e')
  const power = Number(exponent)
  if (power < -4 || power >= 16) return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`
  const text = plainDecimal(value)
  return text.includes('.') ? text : `${text}.0`
}

/** Without an exponent: JavaScript writes one below 1e-6 only, and from 1e21. */
function plainDecimal(value: number): string {
  const text = String(value)
  return text.includes('e') ? value.toFixed(20).replace(/0+$/, '') : text
}

const INTEGERS: Record<number, RegExp> = { 2: /^[01]+$/, 8: /^[0-7]+$/, 10: /^\d+$/, 16: /^[\da-f]+$/ }

/** int(text, base). Throws ValueError. */
export function parseInteger(text: string, base = 10): Integer {
  const fail = () => valueError(`invalid literal for int() with base ${base}: '${text}'`)
  const match = /^([+-]?)(?:0([xob])_?)?(\w+)$/i.exec(decimalDigits(strip(text, 'both')).toLowerCase())
  if (!match || !/^[^_]+(_[^_]+)*$/.test(match[3])) throw fail()
  const [, sign, prefix, body] = match
  const named = prefix === undefined ? undefined : { x: 16, o: 8, b: 2 }[prefix as 'x' | 'o' | 'b']
  let digits = body.replaceAll('_', '')
  let radix = base
  if (named !== undefined && (base === 0 || base === named)) radix = named
  else if (named !== undefined) digits = `0${prefix}${digits}`
  else if (base === 0) radix = 10
  if (radix === 10 && digits.length > MOST_DIGITS)
    throw valueError(`Exceeds the limit (${MOST_DIGITS} digits) for integer string conversion`)
  const value = magnitude(digits, radix)
  if (value === undefined) throw fail()
  return integer(sign === '-' ? -value : value)
}

function magnitude(digits: string, radix: number): bigint | undefined {
  if (INTEGERS[radix]) {
    const prefix = { 2: '0b', 8: '0o', 10: '', 16: '0x' }[radix]
    return INTEGERS[radix].test(digits) ? BigInt(prefix + digits) : undefined
  }
  let value = 0n
  for (const digit of digits) {
    const number = Number.parseInt(digit, 36)
    if (!(number < radix)) return undefined
    value = value * BigInt(radix) + BigInt(number)
  }
  return value
}

/** float(text). Throws ValueError. */
export function parseFloatText(text: string): number {
  const plain = decimalDigits(strip(text, 'both')).toLowerCase()
  const special = /^([+-]?)(inf|infinity|nan)$/.exec(plain)
  if (special) return (special[1] === '-' ? -1 : 1) * (special[2] === 'nan' ? Number.NaN : Number.POSITIVE_INFINITY)
  if (/^[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)(e[+-]?\d+(_\d+)*)?$/.test(plain)) return Number(plain.replaceAll('_', ''))
  throw valueError(`could not convert string to float: '${text}'`)
}

/** Decimal digits of all scripts mean what ASCII's mean. */
function decimalDigits(text: string): string {
  return text.replace(/[^\0-\x7f]/gu, (char) => {
    if (!/\p{Nd}/u.test(char)) return char
    const code = char.codePointAt(0) as number
    // Each script's ten digits lie in a row.
    let first = code
    while (first > code - 9 && /\p{Nd}/u.test(String.fromCodePoint(first - 1))) first--
    return String((code - first) % 10)
  })
}

/** round(number, places): half to even, as the exact decimal value says. */
export function rounded(value: number, places: number): number {
  if (!Number.isFinite(value) || places > 22) return value
  if (places >= 0) {
    const text = fixed(Math.abs(value), places)
    return value < 0 ? -Number(text) : Number(text)
  }
  const unit = 10 ** -places
  const scaled = value / unit
  const floor = Math.floor(scaled)
  const up = scaled - floor > 0.5 || (scaled - floor === 0.5 && floor % 2 !== 0)
  return (up ? floor + 1 : floor) * unit
}

/** A float of no sign with `places` digits after the point, rounded half to even of its exact value; toFixed rounds half up. */
export function fixed(value: number, places: number): string {
  if (value >= 1e21) {
    const whole = BigInt(value).toString()
    return places > 0 ? `${whole}.${'0'.repeat(places)}` : whole
  }
  // toFixed takes the upper one of two that are as near; the exact value says whether it is so.
  const exact = value.toFixed(Math.min(100, places + 60))
  const end = exact.indexOf('.') + 1 + places
  const lower = exact.slice(0, places === 0 ? end - 1 : end)
  if (/^50*$/.test(exact.slice(end)) && Number(lower.at(-1)) % 2 === 0) return lower
  return value.toFixed(Math.min(places, 100)) + '0'.repeat(Math.max(0, places - 100))
}
