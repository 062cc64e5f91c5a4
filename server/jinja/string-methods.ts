/** The methods of Python's str, and of markupsafe's Markup. */
import { bind, type Given, parameters } from './arguments.ts'
import { JinjaError, typeError, valueError } from './errors.ts'
import { format, type Reach } from './format.ts'
import { indexOf } from './numbers.ts'
import { escapeHtml, into, like, reprText } from './represent.ts'
import * as text from './text.ts'
import {
  Callable,
  Dict,
  isText,
  iterate,
  type Keywords,
  Markup,
  plain,
  requireUnits,
  Tuple,
  truth,
  typeName,
  type Value,
} from './values.ts'

type Text = string | Markup
type Method = (self: Text, args: Given) => Value

const methods = new Map<string, { method: Method; parameters: ReturnType<typeof parameters> }>()

function define(signature: string, method: Method): void {
  const [, name, list] = /^(\w+)\((.*)\)$/.exec(signature) as RegExpExecArray
  methods.set(name, { method, parameters: parameters(list) })
}

function requireText(value: Value | undefined, what = 'a str'): string {
  if (isText(value)) return plain(value)
  throw typeError(`must be ${what}, not ${typeName(value ?? null)}`)
}

const optionalText = (value: Value | undefined) => (value === undefined || value === null ? undefined : requireText(value))
const optionalIndex = (value: Value | undefined) => (value === undefined || value === null ? undefined : indexOf(value))

for (const [name, change] of Object.entries({
  upper: (self: string) => self.toUpperCase(),
  lower: (self: string) => self.toLowerCase(),
  capitalize: text.capitalize,
  title: text.title,
  swapcase: text.swapCase,
  // Every letter that has another form of the same is that: what two upper ones would be lowered to.
  casefold: (self: string) => self.replace(/[^\0-\x7fıİ]/gu, (char) => char.toUpperCase().toLowerCase()).toLowerCase(),
}))
  define(`${name}()`, (self) => like(self, change(plain(self))))

for (const [name, side] of [
  ['strip', 'both'],
  ['lstrip', 'left'],
  ['rstrip', 'right'],
] as const)
  define(`${name}(chars?, /)`, (self, [chars]) => like(self, text.strip(plain(self), side, optionalText(chars))))

for (const [name, splitting] of [
  ['split', text.split],
  ['rsplit', text.splitFromRight],
] as const)
  define(`${name}(sep?, maxsplit?)`, (self, [separator, most]) =>
    splitting(plain(self), optionalText(separator), optionalIndex(most) ?? -1).map((part) => like(self, part)),
  )
define('splitlines(keepends?)', (self, [keep]) =>
  text.splitLines(plain(self), keep !== undefined && truth(keep)).map((line) => like(self, line)),
)

define('replace(old, new, count?, /)', (self, [old, by, count]) =>
  like(self, text.replace(plain(self), requireText(old), into(self, requireText(by)), optionalIndex(count) ?? -1)),
)
define('join(iterable, /)', (self, [values]) => {
  const parts: string[] = []
  for (const value of iterate(values as Value)) {
    if (self instanceof Markup) parts.push(escapeHtml(value).text)
    else if (isText(value)) parts.push(plain(value))
    else throw typeError(`sequence item ${parts.length}: expected str instance, ${typeName(value)} found`)
  }
  requireUnits(parts.reduce((sum, part) => sum + part.length, parts.length * plain(self).length))
  return like(self, parts.join(plain(self)))
})

for (const [name, side] of [
  ['startswith', 'startsWith'],
  ['endswith', 'endsWith'],
] as const)
  define(`${name}(prefix, start?, end?, /)`, (self, [affix, start, end]) => {
    const all = affix instanceof Tuple ? affix.items : [affix]
    const [from, to] = [optionalIndex(start), optionalIndex(end)]
    const within = from === undefined && to === undefined ? plain(self) : text.slice(plain(self), from, to)
    return all.some((one) => {
      if (isText(one)) return within[side](plain(one))
      throw typeError(`${name} first arg must be str or a tuple of str, not ${typeName(one ?? null)}`)
    })
  })
define('removeprefix(prefix, /)', (self, [prefix]) => {
  const [whole, part] = [plain(self), requireText(prefix)]
  return like(self, whole.startsWith(part) ? whole.slice(part.length) : whole)
})
define('removesuffix(suffix, /)', (self, [suffix]) => {
  const [whole, part] = [plain(self), requireText(suffix)]
  return like(self, part !== '' && whole.endsWith(part) ? whole.slice(0, -part.length) : whole)
})
for (const [name, last] of [
  ['partition', false],
  ['rpartition', true],
] as const)
  define(`${name}(sep, /)`, (self, [separator]) => {
    const [whole, part] = [plain(self), requireText(separator)]
    if (part === '') throw valueError('empty separator')
    const at = last ? whole.lastIndexOf(part) : whole.indexOf(part)
    const parts = at < 0 ? (last ? ['', '', whole] : [whole, '', '']) : [whole.slice(0, at), part, whole.slice(at + part.length)]
    return new Tuple(parts.map((one) => like(self, one)))
  })

for (const [name, last] of [
  ['find', false],
  ['rfind', true],
  ['index', false],
  ['rindex', true],
] as const)
  define(`${name}(sub, start?, end?, /)`, (self, [part, start, end]) => {
    const at = text.find(plain(self), requireText(part), last, optionalIndex(start), optionalIndex(end))
    if (at < 0 && name.endsWith('index')) throw valueError('substring not found')
    return at
  })
define('count(sub, start?, end?, /)', (self, [part, start, end]) =>
  text.count(plain(self), requireText(part), optionalIndex(start), optionalIndex(end)),
)

for (const [name, side] of [
  ['ljust', 'right'],
  ['rjust', 'left'],
  ['center', 'both'],
] as const)
  define(`${name}(width, fillchar?, /)`, (self, [width, fill]) =>
    like(self, text.pad(plain(self), indexOf(width as Value), side, fill === undefined ? ' ' : into(self, requireText(fill)))),
  )
define('zfill(width, /)', (self, [width]) => like(self, text.zeroFill(plain(self), indexOf(width as Value))))
define('expandtabs(tabsize?)', (self, [size]) => like(self, text.expandTabs(plain(self), optionalIndex(size) ?? 8)))

for (const [name, is] of Object.entries({
  isalpha: (self: string) => /^\p{L}+$/u.test(self),
  isalnum: (self: string) => /^[\p{L}\p{N}]+$/u.test(self),
  isdecimal: (self: string) => /^\p{Nd}+$/u.test(self),
  isdigit: (self: string) => /^[\p{Nd}²³¹⁰⁴-⁹₀-₉①-⑨⑴-⑼⒈-⒐⓪⓵-⓽⓿❶-❾➀-➈➊-➒፩-፱᧚𐩀-𐩃𑁒-𑁚𐹠-𐹨🄀-🄊]+$/u.test(self),
  isnumeric: (self: string) => /^\p{N}+$/u.test(self),
  isspace: text.isSpaces,
  isupper: text.isUpper,
  islower: text.isLower,
  istitle: text.isTitle,
  isascii: (self: string) => /^[\0-\x7f]*$/.test(self),
  isidentifier: (self: string) => /^[\p{ID_Start}_]\p{ID_Continue}*$/u.test(self),
  isprintable: (self: string) => reprText(self.replace(/['"\\]/g, '')).slice(1, -1) === self.replace(/['"\\]/g, ''),
}))
  define(`${name}()`, (self) => is(plain(self)))

define('translate(table, /)', (self, [table]) => {
  if (!(table instanceof Dict)) throw typeError(`'${typeName(table ?? null)}' object is not subscriptable`)
  const changed = Array.from(plain(self), (char) => {
    const by = table.get(char.codePointAt(0) as number)
    if (by === undefined) return char
    return by === null ? '' : isText(by) ? plain(by) : String.fromCodePoint(indexOf(by))
  })
  return like(self, changed.join(''))
})

/** Of Markup alone. */
const markupMethods = new Map<string, (self: Markup) => Value>([
  ['striptags', (self) => stripTags(self.text)],
  ['unescape', (self) => unescapeHtml(self.text)],
])

/** A text without its tags and comments, white space collapsed, entities as characters. */
export function stripTags(html: string): string {
  let rest = html
  for (const [open, close] of [
    ['<!--', '-->'],
    ['<', '>'],
  ]) {
    let start = rest.indexOf(open)
    while (start >= 0) {
      const end = rest.indexOf(close, start)
      if (end < 0) break
      rest = rest.slice(0, start) + rest.slice(end + close.length)
      start = rest.indexOf(open)
    }
  }
  return unescapeHtml(text.split(rest, undefined, -1).join(' '))
}

const ENTITIES: { [name: string]: string } = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\xa0' }

function unescapeHtml(html: string): string {
  return html.replace(/&(?:#(\d+)|#[xX]([\da-fA-F]+)|(\w+));/g, (all, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name] ?? all
    const code = decimal !== undefined ? Number(decimal) : Number.parseInt(hex as string, 16)
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd'
  })
}

/** undefined: str has no such method. */
export function textMethod(self: Text, name: string, reach: Reach): Callable | undefined {
  const options = { owner: typeName(self) }
  const known = methods.get(name)
  if (known)
    return new Callable(name, (args, keywords) => known.method(self, bind(name, known.parameters, args, keywords)), options)
  if (name === 'format') return new Callable(name, (args, keywords) => like(self, format(self, args, keywords, reach)), options)
  if (name === 'format_map')
    return new Callable(name, ([mapping]) => like(self, format(self, [], keywordsOf(mapping), reach)), options)
  const ofMarkup = self instanceof Markup ? markupMethods.get(name) : undefined
  return ofMarkup && new Callable(name, () => ofMarkup(self as Markup), options)
}

function keywordsOf(mapping: Value | undefined): Keywords {
  if (!(mapping instanceof Dict)) throw new JinjaError('TypeError', 'format_map() takes a mapping')
  return new Map([...mapping.entries()].filter((pair): pair is [string, Value] => typeof pair[0] === 'string'))
}
