/** Python's str.format and the little language of its format specifications. */
import { JinjaError, typeError, valueError } from './errors.ts'
import { floatText, numeric, toNumber } from './numbers.ts'
import { ascii, magnitudeOf } from './percent.ts'
import { escapeHtml, repr, str } from './represent.ts'
import { pad, slice } from './text.ts'
import {
  Float,
  isInteger,
  isText,
  type Keywords,
  Markup,
  plain,
  requireUnits,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

/** How the fields of a template text reach into values: the sandbox's getattr and getitem. */
export interface Reach {
  attribute(value: Value, name: string): Value
  item(value: Value, key: Value): Value
}

/** text.format(*args, **keywords). Throws what Python throws. */
export function format(text: string | Markup, args: readonly Value[], keywords: Keywords, reach: Reach): string {
  const state = { next: 0 as number | 'named' }
  const shown = (value: Value, spec: string) => {
    if (!(text instanceof Markup)) return formatValue(value, spec)
    return escapeHtml(value instanceof Markup && spec === '' ? value : formatValue(value, spec)).text
  }
  const field = (name: string): Value => {
    const [, first, rest] = /^([^.[]*)(.*)$/s.exec(name) as RegExpExecArray
    let value: Value | undefined
    if (first === '' || /^\d+$/.test(first)) {
      if (first === '' && state.next === 'named')
        throw valueError('cannot switch from manual field specification to automatic field numbering')
      if (first !== '' && typeof state.next === 'number' && state.next > 0)
        throw valueError('cannot switch from automatic field numbering to manual field specification')
      value = args[first === '' ? (state.next as number) : Number(first)]
      state.next = first === '' ? (state.next as number) + 1 : 'named'
      if (value === undefined)
        throw new JinjaError(
          'IndexError',
          `Replacement index ${first || (state.next as number) - 1} out of range for positional args tuple`,
        )
    } else {
      value = keywords.get(first)
      if (value === undefined) throw new JinjaError('KeyError', `'${first}'`)
    }
    for (const [, attribute, item] of rest.matchAll(/\.([^.[]+)|\[([^\]]+)\]/g))
      value =
        attribute !== undefined ? reach.attribute(value, attribute) : reach.item(value, /^\d+$/.test(item) ? Number(item) : item)
    return value
  }
  return expand(plain(text), field, shown, 2)
}

function expand(
  text: string,
  field: (name: string) => Value,
  shown: (value: Value, spec: string) => string,
  depth: number,
): string {
  if (depth < 0) throw valueError('Max string recursion exceeded')
  let all = ''
  let at = 0
  while (at < text.length) {
    const char = text[at]
    if (char !== '{' && char !== '}') {
      const end = text.slice(at).search(/[{}]/)
      all += end < 0 ? text.slice(at) : text.slice(at, at + end)
      at = end < 0 ? text.length : at + end
    } else if (text[at + 1] === char) {
      all += char
      at += 2
    } else {
      if (char === '}') throw valueError("Single '}' encountered in format string")
      const end = closing(text, at)
      const [, name, conversion, spec] = /^((?:[^!:[]|\[[^\]]*\])*)(?:!(.))?(?::(.*))?$/s.exec(text.slice(at + 1, end)) ?? []
      if (name === undefined) throw valueError("expected ':' after conversion specifier")
      let value = field(name)
      if (conversion === 's') value = str(value)
      else if (conversion === 'r') value = repr(value)
      else if (conversion === 'a') value = ascii(value)
      else if (conversion !== undefined) throw valueError(`Unknown conversion specifier ${conversion}`)
      all += shown(value, spec === undefined ? '' : expand(spec, field, formatValue, depth - 1))
      at = end + 1
    }
    requireUnits(all.length)
  }
  return all
}

function closing(text: string, open: number): number {
  let depth = 0
  for (let at = open; at < text.length; at++) {
    if (text[at] === '{') depth++
    else if (text[at] === '}' && --depth === 0) return at
  }
  throw valueError(text.length === open + 1 ? "Single '{' encountered in format string" : "expected '}' before end of string")
}

const SPEC = /^(?:(.)?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([bcdeEfFgGnosxX%])?$/su

/** format(value, spec). Throws ValueError and TypeError. */
export function formatValue(value: Value, spec: string): string {
  if (spec === '') return str(value)
  const number = numeric(value)
  if (number === undefined && !isText(value)) {
    if (value instanceof Undefined) throw value.fail()
    throw typeError(`unsupported format string passed to ${typeName(value)}.__format__`)
  }
  const match = SPEC.exec(spec)
  if (!match) throw valueError(`Invalid format specifier '${spec}' for object of type '${typeName(value)}'`)
  const [, fill, align, sign, , alternate, zero, wide, group, exact, type] = match
  const width = Number(wide ?? 0)
  const precision = exact === undefined ? undefined : Number(exact)
  requireUnits(width + (precision ?? 0))
  const filling = fill ?? (zero ? '0' : ' ')
  if (isText(value)) {
    if (type !== undefined && type !== 's') throw valueError(`Unknown format code '${type}' for object of type 'str'`)
    if (sign || alternate || group || align === '=') throw valueError('Sign not allowed in string format specifier')
    const text = precision === undefined ? plain(value) : slice(plain(value), 0, precision)
    return aligned(text, width, align ?? '<', filling)
  }
  const { negative, digits, prefix, suffix } = numberText(
    number as Exclude<typeof number, undefined>,
    type,
    precision,
    alternate !== undefined,
  )
  const lead = (negative ? '-' : sign === undefined || sign === '-' ? '' : sign) + prefix
  const whole = group ? grouped(digits, group, 'boxX'.includes(type ?? '-') ? 4 : 3) : digits
  const side = align ?? (zero ? '=' : '>')
  if (side === '=') {
    const room = width - lead.length - suffix.length
    return lead + (group && filling === '0' ? groupedTo(digits, group, room) : pad(whole, room, 'left', filling)) + suffix
  }
  return aligned(lead + whole + suffix, width, side, filling)
}

function numberText(
  number: number | bigint | Float,
  type: string | undefined,
  precision: number | undefined,
  alternate: boolean,
) {
  const plainText = { prefix: '', suffix: '' }
  if (type === 'c' && isInteger(number)) return { ...plainText, negative: false, digits: String.fromCodePoint(Number(number)) }
  if (type === '%') {
    const shown = magnitudeOf(new Float(toNumber(number) * 100), 'f', { precision })
    return { ...shown, suffix: '%' }
  }
  if (type === undefined || type === 'n') {
    if (isInteger(number)) return { ...magnitudeOf(number, 'd', {}), suffix: '' }
    if (precision === undefined) {
      const text = floatText(Math.abs(number.value))
      return { ...plainText, negative: number.value < 0 || Object.is(number.value, -0), digits: text }
    }
    // Like g, but that it shows one digit after the point at least.
    const shown = magnitudeOf(number, 'g', { precision })
    return { ...shown, digits: /[.en]/.test(shown.digits) ? shown.digits : `${shown.digits}.0`, suffix: '' }
  }
  if ('bdoxX'.includes(type)) {
    if (!isInteger(number)) throw valueError(`Unknown format code '${type}' for object of type 'float'`)
    if (precision !== undefined) throw valueError('Precision not allowed in integer format specifier')
  }
  if (type === 's' || type === 'c') throw valueError(`Unknown format code '${type}' for object of type '${typeName(number)}'`)
  return { ...magnitudeOf(number, type, { precision, alternate }), suffix: '' }
}

function aligned(text: string, width: number, align: string, fill: string): string {
  if (align === '<') return pad(text, width, 'right', fill)
  if (align === '>' || align === '=') return pad(text, width, 'left', fill)
  const missing = Math.max(0, width - Array.from(text).length)
  return fill.repeat(Math.floor(missing / 2)) + text + fill.repeat(Math.ceil(missing / 2))
}

function grouped(digits: string, separator: string, size: number): string {
  const [, whole, rest] = /^([0-9a-fA-F]*)(.*)$/s.exec(digits) as RegExpExecArray
  return whole.replace(new RegExp(`\\B(?=(?:[0-9a-fA-F]{${size}})+$)`, 'g'), separator) + rest
}

/** Zeros before the digits are grouped too. */
function groupedTo(digits: string, separator: string, width: number): string {
  let text = digits
  while (grouped(text, separator, 3).length < width) text = `0${text}`
  const all = grouped(text, separator, 3)
  return all
}
