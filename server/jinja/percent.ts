/** Python's `text % values` and the number formats that it shares with str.format. */
import { typeError, valueError } from './errors.ts'
import { fixed, indexOf, numeric, toNumber, truncated } from './numbers.ts'
import { escaped, escapeHtml, repr, str } from './represent.ts'
import { pad, slice } from './text.ts'
import {
  Dict,
  Float,
  type Integer,
  isInteger,
  Markup,
  plain,
  Range,
  requireUnits,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

const CONVERSION = /%(?:\(((?:[^()]|\([^()]*\))*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?(.|$)/gsu

/** `text % values`. Throws TypeError and ValueError. */
export function percent(text: string | Markup, values: Value): string {
  const all = values instanceof Tuple ? values.items : [values]
  const named = values instanceof Dict ? values : undefined
  const shown = (value: Value, show: (value: Value) => string) =>
    text instanceof Markup ? escapeHtml(value instanceof Markup ? value : show(value)).text : show(value)
  let used = 0
  const next = () => {
    if (used >= all.length) throw typeError('not enough arguments for format string')
    return all[used++]
  }
  const result = plain(text).replace(CONVERSION, (_, key?: string, flags = '', wide?: string, exact?: string, type = '') => {
    if (type === '%') return '%'
    if (type === '') throw valueError('incomplete format')
    if (key !== undefined && !named) throw typeError('format requires a mapping')
    const width = wide === '*' ? indexOf(next(), '* wants int') : Number(wide ?? 0)
    const precision = exact === '*' ? indexOf(next(), '* wants int') : exact === undefined ? undefined : Number(exact)
    requireUnits(width + (precision ?? 0))
    const value = key === undefined ? next() : named?.get(key)
    if (value === undefined) throw typeError(`no value for '${key}'`)
    return converted(value, type, { flags, width: Math.abs(width), left: flags.includes('-') || width < 0, precision }, shown)
  })
  if (used < all.length && !(named && used === 0))
    if (!Array.isArray(values) && ![Dict, Undefined, Range].some((type) => values instanceof type))
      throw typeError('not all arguments converted during string formatting')
  return result
}

interface Directive {
  flags: string
  width: number
  left: boolean
  precision: number | undefined
}

function converted(
  value: Value,
  type: string,
  { flags, width, left, precision }: Directive,
  shown: (value: Value, show: (value: Value) => string) => string,
): string {
  const padded = (text: string) => pad(text, width, left ? 'right' : 'left')
  if ('sra'.includes(type)) {
    const text = shown(value, type === 's' ? str : type === 'r' ? repr : ascii)
    return padded(precision === undefined ? text : slice(text, 0, precision))
  }
  if (type === 'c') return padded(character(value))
  const sign = flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '-'
  const number = numericFor(value, type)
  const { negative, digits, prefix } = magnitudeOf(number, type, { precision, alternate: flags.includes('#') })
  const lead = (negative ? '-' : sign === '-' ? '' : sign) + prefix
  if (flags.includes('0') && !left) return lead + pad(digits, width - lead.length, 'left', '0')
  return padded(lead + digits)
}

function character(value: Value): string {
  if (isInteger(value)) return String.fromCodePoint(Number(value))
  const text = str(value)
  if (Array.from(text).length !== 1) throw typeError('%c requires int or char')
  return text
}

export const ascii = (value: Value) => repr(value).replace(/[^\0-\x7f]/gu, (char) => escaped(char.codePointAt(0) as number))

function numericFor(value: Value, type: string): Integer | Float {
  if (value instanceof Undefined) throw value.fail()
  const number = numeric(value)
  if (number === undefined)
    throw typeError(
      `${'diu'.includes(type) ? `%${type} format: a real number is required` : 'xXo'.includes(type) ? `%${type} format: an integer is required` : 'must be real number'}, not ${typeName(value)}`,
    )
  if ('diu'.includes(type)) return number instanceof Float ? truncated(number.value) : number
  if (number instanceof Float && 'xXo'.includes(type)) throw typeError(`%${type} format: an integer is required, not float`)
  return number
}

/** Digits of a number without its sign, in a format of printf. Throws ValueError for a format that there is not. */
export function magnitudeOf(
  number: Integer | Float,
  type: string,
  { precision, alternate }: { precision?: number; alternate?: boolean },
): { negative: boolean; digits: string; prefix: string } {
  const lower = type.toLowerCase()
  if ('diuxob'.includes(lower) && !(number instanceof Float)) {
    const radix = { x: 16, o: 8, b: 2 }[lower] ?? 10
    const text = (number < 0 ? -number : number).toString(radix).padStart(precision ?? 0, '0')
    const prefix = alternate && radix !== 10 ? `0${lower}` : ''
    return { negative: number < 0, ...upper(type, text, prefix) }
  }
  if (!'efg'.includes(lower)) throw valueError(`unsupported format character '${type}'`)
  const value = toNumber(number)
  const negative = value < 0 || Object.is(value, -0)
  const size = Math.abs(value)
  if (!Number.isFinite(size)) return { negative, ...upper(type, Number.isNaN(size) ? 'nan' : 'inf', '') }
  const places = precision ?? 6
  const text =
    lower === 'f' ? fixed(size, places) : lower === 'e' ? exponential(size, places) : general(size, places, alternate ?? false)
  return { negative, ...upper(type, text, '') }
}

const upper = (type: string, digits: string, prefix: string) =>
  type === type.toLowerCase() ? { digits, prefix } : { digits: digits.toUpperCase(), prefix: prefix.toUpperCase() }

function exponential(value: number, places: number): string {
  const [digits, power] = value.toExponential(Math.min(places, 100)).split('e')
  return `${digits}e${power[0]}${power.slice(1).padStart(2, '0')}`
}

function general(value: number, precision: number, alternate: boolean): string {
  const places = Math.max(1, precision)
  const power = value === 0 ? 0 : Number(value.toExponential(Math.min(places - 1, 100)).split('e')[1])
  const bare = (text: string) => (alternate || !text.includes('.') ? text : text.replace(/\.?0+$/, ''))
  if (power >= -4 && power < places) return bare(fixed(value, places - 1 - power))
  const [digits, exponent] = exponential(value, places - 1).split('e')
  return `${bare(digits)}e${exponent}`
}
