/** Jinja2's filters of texts and of single values. */
import { attributeOf } from '../attributes.ts'
import { isKind, JinjaError, typeError } from '../errors.ts'
import { dumps } from '../json.ts'
import { calculate, indexOf, numeric, parseFloatText, parseInteger, rounded, toNumber, truncated } from '../numbers.ts'
import { binary, compare, sliced } from '../operators.ts'
import { percent } from '../percent.ts'
import { escapeHtml, like, repr, softText, str } from '../represent.ts'
import { stripTags } from '../string-methods.ts'
import * as text from '../text.ts'
import {
  characters,
  Dict,
  Float,
  isText,
  iterate,
  lengthOf,
  Markup,
  plain,
  requireUnits,
  Tuple,
  truth,
  typeName,
  Undefined,
  type Value,
} from '../values.ts'
import { argumentError, type Filter, filter } from './registry.ts'
import { wrap } from './wrap.ts'

/** None is a default like any other. */
const or = (value: Value | undefined, otherwise: Value) => (value === undefined ? otherwise : value)

const flag = (value: Value | undefined) => value !== undefined && truth(value)

/** A filter that changes a text. */
const changed = (name: string, change: (text: string) => string) =>
  filter(`${name}(s)`, ([value]) => {
    const soft = softText(value as Value)
    return like(soft, change(plain(soft)))
  })

const titled = (value: string) =>
  value
    .split(new RegExp(`([-${text.SPACES}({\\[<]+)`))
    .map((part) => text.slice(part, 0, 1).toUpperCase() + text.slice(part, 1).toLowerCase())
    .join('')

function defaulted(name: string): [string, Filter] {
  return filter(`${name}(value, default_value?, boolean?)`, ([value, otherwise, falsy]) =>
    value instanceof Undefined || (flag(falsy) && !truth(value as Value)) ? or(otherwise, '') : (value as Value),
  )
}

const indent = filter('indent(s, width?, first?, blank?)', ([value, width, first, blank]) => {
  if (!isText(value)) throw typeError(`can only indent a text, not ${typeName(value as Value)}`)
  const by = isText(width) ? plain(width) : text.repeat(' ', width === undefined ? 4 : indexOf(width))
  const lines = text.splitLines(`${plain(value)}\n`)
  requireUnits(plain(value).length + lines.length * (by.length + 1))
  const [head, ...rest] = lines
  const rows = flag(blank) ? rest.map((line) => by + line) : rest.map((line) => (line === '' ? line : by + line))
  return like(value, (flag(first) ? by : '') + [head, ...rows].join('\n'))
})

const toInt = filter('int(value, default?, base?)', ([value, otherwise, base]) => {
  const given = value as Value
  try {
    if (isText(given)) return parseInteger(plain(given), base === undefined ? 10 : indexOf(base))
    return integerOf(given)
  } catch (error) {
    if (!isKind(error, 'TypeError', 'ValueError')) throw error
    try {
      return truncated(floatOf(given))
    } catch (again) {
      if (isKind(again, 'TypeError', 'ValueError', 'OverflowError')) return or(otherwise, 0)
      throw again
    }
  }
})

function integerOf(value: Value): Value {
  const number = numeric(value)
  if (number === undefined) throw noNumber(value, 'int')
  return number instanceof Float ? truncated(number.value) : number
}

function floatOf(value: Value): number {
  if (isText(value)) return parseFloatText(plain(value))
  const number = numeric(value)
  if (number === undefined) throw noNumber(value, 'float')
  return toNumber(number)
}

function noNumber(value: Value, what: string): JinjaError {
  if (value instanceof Undefined) return value.fail()
  return typeError(`${what}() argument must be a string or a real number, not '${typeName(value)}'`)
}

const round = filter('round(value, precision?, method?)', ([value, precision, method]) => {
  const places = precision === undefined ? 0 : indexOf(precision)
  const how = method === undefined ? 'common' : str(method)
  if (!['common', 'ceil', 'floor'].includes(how)) throw argumentError('method must be common, ceil or floor')
  const number = numeric(value as Value)
  if (number === undefined) throw noNumber(value as Value, 'round')
  if (how !== 'common') {
    const unit = 10 ** places
    const scaled = toNumber(number) * unit
    return new Float((how === 'ceil' ? Math.ceil(scaled) : Math.floor(scaled)) / unit)
  }
  if (number instanceof Float) return new Float(rounded(number.value, places))
  if (places >= 0) return number
  const unit = calculate('**', 10, -places)
  const rest = calculate('%', number, unit as number)
  const lower = binary('-', number, rest)
  const twice = binary('-', binary('*', rest, 2), unit) as number | bigint
  const even = binary('%', binary('//', lower, unit), 2) === 0
  return twice > 0 || (Number(twice) === 0 && !even) ? binary('+', lower, unit) : lower
})

const truncate = filter('truncate(s, length?, killwords?, end?, leeway?)', ([value, length, kill, end, leeway]) => {
  const given = value as Value
  const tail = end === undefined ? '...' : str(end)
  const most = length === undefined ? 255 : indexOf(length)
  const slack = leeway === undefined || leeway === null ? 5 : indexOf(leeway)
  if (most < characters(tail)) throw new JinjaError('AssertionError', `expected length >= ${characters(tail)}, got ${most}`)
  if (slack < 0) throw new JinjaError('AssertionError', `expected leeway >= 0, got ${slack}`)
  if (lengthOf(given) <= most + slack) return given
  const cut = sliced(given, null, most - characters(tail), null)
  if (!isText(cut)) throw typeError(`can only truncate a text, not ${typeName(given)}`)
  return like(cut, (flag(kill) ? plain(cut) : text.splitFromRight(plain(cut), ' ', 1)[0]) + tail)
})

const filesize = filter('filesizeformat(value, binary?)', ([value, binaryUnits]) => {
  const bytes = floatOf(value as Value)
  const base = flag(binaryUnits) ? 1024 : 1000
  if (bytes === 1) return '1 Byte'
  if (bytes < base) return `${Math.trunc(bytes)} Bytes`
  const prefixes = flag(binaryUnits)
    ? ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB', 'ZiB', 'YiB']
    : ['kB', 'MB', 'GB', 'TB', 'PB', 'EB', 'ZB', 'YB']
  const at = prefixes.findIndex((_, i) => bytes < base ** (i + 2))
  const place = at < 0 ? prefixes.length - 1 : at
  return `${((base * bytes) / base ** (place + 2)).toFixed(1)} ${prefixes[place]}`
})

function isIterable(value: Value): boolean {
  try {
    iterate(value)
    return true
  } catch {
    return false
  }
}

function pairOf(value: Value): [Value, Value] {
  const items = [...iterate(value)]
  if (items.length !== 2) throw new JinjaError('ValueError', `a pair of ${items.length} values`)
  return [items[0], items[1]]
}

/** urllib's quote: UTF-8, in which letters, digits and a few more stand for themselves. */
function quoted(value: Value, query: boolean): string {
  const escaped = encodeURIComponent(str(value)).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return query ? escaped.replaceAll('%20', '+') : escaped.replaceAll('%2F', '/')
}

const urlencode = filter('urlencode(value)', ([value]) => {
  const given = value as Value
  if (isText(given) || !isIterable(given)) return quoted(given, false)
  const pairs = given instanceof Dict ? given.entries() : Array.from(iterate(given), pairOf)
  return Array.from(pairs, ([key, entry]) => `${quoted(key, true)}=${quoted(entry, true)}`).join('&')
})

const xmlattr = filter('xmlattr(d, autospace?)', ([value, space]) => {
  if (!(value instanceof Dict)) throw typeError(`'${typeName(value as Value)}' object has no attribute 'items'`)
  const parts: string[] = []
  for (const [key, entry] of value.entries()) {
    if (entry === null || entry instanceof Undefined) continue
    if (!isText(key)) throw typeError('expected string or bytes-like object')
    if (/[\t-\r /> =]/.test(plain(key))) throw new JinjaError('ValueError', `Invalid character in attribute name: ${repr(key)}`)
    parts.push(`${escapeHtml(key).text}="${escapeHtml(entry).text}"`)
  }
  return (parts.length > 0 && (space === undefined || truth(space)) ? ' ' : '') + parts.join(' ')
})

const format: Filter = ([value, ...args], keywords) => {
  if (value === undefined) throw typeError("format() missing 1 required positional argument: 'value'")
  if (args.length > 0 && keywords.size > 0) throw argumentError("can't handle positional and keyword arguments at the same time")
  const soft = softText(value)
  return like(soft, percent(soft, keywords.size > 0 ? Dict.of(keywords) : new Tuple(args)))
}

/** pprint shows dicts in the order of their keys, as far as these have one. */
function inOrder(value: Value): Value {
  if (Array.isArray(value)) return value.map(inOrder)
  if (value instanceof Tuple) return new Tuple(value.items.map(inOrder))
  if (!(value instanceof Dict)) return value
  const entries = Array.from(value.entries(), ([key, entry]) => [key, inOrder(entry)] as const)
  try {
    entries.sort(([a], [b]) => compare(a, b))
  } catch {
    return Dict.of(entries)
  }
  return Dict.of(entries)
}

export const TEXT_FILTERS: [string, Filter][] = [
  changed('upper', (value) => value.toUpperCase()),
  changed('lower', (value) => value.toLowerCase()),
  changed('capitalize', text.capitalize),
  filter('title(s)', ([value]) => titled(plain(softText(value as Value)))),
  filter('trim(value, chars?)', ([value, chars]) => {
    const soft = softText(value as Value)
    return like(soft, text.strip(plain(soft), 'both', isText(chars) ? plain(chars) : undefined))
  }),
  filter('string(s, /)', ([value]) => softText(value as Value)),
  ...['d', 'default'].map(defaulted),
  ...['e', 'escape'].map((name) => filter(`${name}(s, /)`, ([value]) => escapeHtml(value as Value))),
  filter('forceescape(value)', ([value]) => escapeHtml(str(value as Value))),
  filter('safe(value)', ([value]) => new Markup(str(value as Value))),
  filter('striptags(value)', ([value]) => stripTags(str(value as Value))),
  filter('replace(s, old, new, count?)', ([value, old, by, count]) =>
    text.replace(
      str(value as Value),
      str(old as Value),
      str(by as Value),
      count === undefined || count === null ? -1 : indexOf(count),
    ),
  ),
  filter('center(value, width?)', ([value, width]) => {
    const soft = softText(value as Value)
    return like(soft, text.pad(plain(soft), width === undefined ? 80 : indexOf(width), 'both'))
  }),
  indent,
  truncate,
  filter('wordcount(s)', ([value]) => str(value as Value).match(/[\p{L}\p{N}\p{M}_]+/gu)?.length ?? 0),
  filter('wordwrap(s, width?, break_long_words?, wrapstring?, break_on_hyphens?)', ([value, width, long, by, hyphens]) => {
    if (!isText(value)) throw typeError(`can only wrap a text, not ${typeName(value as Value)}`)
    const options = {
      width: width === undefined ? 79 : indexOf(width),
      long: long === undefined || truth(long),
      hyphens: hyphens === undefined || truth(hyphens),
    }
    const newline = by === undefined || by === null ? '\n' : str(by)
    return text
      .splitLines(plain(value))
      .map((line) => wrap(line, options).join(newline))
      .join(newline)
  }),
  ['format', format],
  filesize,
  urlencode,
  xmlattr,
  toInt,
  filter('float(value, default?)', ([value, otherwise]) => {
    try {
      return new Float(floatOf(value as Value))
    } catch (error) {
      if (isKind(error, 'TypeError', 'ValueError')) return or(otherwise, new Float(0))
      throw error
    }
  }),
  round,
  filter('abs(x, /)', ([value]) => {
    const number = numeric(value as Value)
    if (number === undefined) {
      if (value instanceof Undefined) throw value.fail()
      throw typeError(`bad operand type for abs(): '${typeName(value as Value)}'`)
    }
    if (number instanceof Float) return new Float(Math.abs(number.value))
    return number < 0 ? calculate('-', 0, number) : number
  }),
  filter('attr(obj, name)', ([value, name]) => {
    const [object, key] = [value as Value, str(name as Value)]
    const attribute = attributeOf(object, key)
    return attribute !== undefined ? attribute : new Undefined(() => `'${typeName(object)} object' has no attribute '${key}'`)
  }),
  filter('pprint(value)', ([value]) => repr(inOrder(value as Value))),
  filter('tojson(x, ensure_ascii?, indent?, separators?, sort_keys?)', ([value, ensureAscii, spaces, separators, sortKeys]) =>
    dumps(value as Value, { ensureAscii, indent: spaces, separators, sortKeys }),
  ),
]
