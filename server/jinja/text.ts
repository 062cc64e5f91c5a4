/** What Python's str can do, on JavaScript's strings: indices are those of characters, white space is Python's. */
import { JinjaError, valueError } from './errors.ts'
import { characters, hasPairs, requireUnits } from './values.ts'

/** What str.isspace() says yes to, as inside of a character class. */
export const SPACES = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'
const SPACE_AT_START = new RegExp(`^[${SPACES}]+`)
const SPACE = new RegExp(`[${SPACES}]`)
const RUN_OF_SPACES = new RegExp(`[${SPACES}]+`, 'g')
const ONLY_SPACES = new RegExp(`^[${SPACES}]+$`)

export const isSpaces = (text: string) => ONLY_SPACES.test(text)

/** `chars`: the set of characters; undefined: white space. */
export function strip(text: string, sides: 'left' | 'right' | 'both', chars?: string): string {
  if (chars === undefined) {
    const left = sides === 'right' ? text : text.replace(SPACE_AT_START, '')
    if (sides === 'left') return left
    let end = left.length
    while (end > 0 && SPACE.test(left[end - 1])) end--
    return left.slice(0, end)
  }
  const set = new Set(chars)
  const all = hasPairs(text) || hasPairs(chars) ? Array.from(text) : text
  let start = 0
  let end = all.length
  if (sides !== 'right') while (start < end && set.has(all[start])) start++
  if (sides !== 'left') while (end > start && set.has(all[end - 1])) end--
  return typeof all === 'string' ? all.slice(start, end) : all.slice(start, end).join('')
}

/** At most `most` splits, all where it is negative. */
export function split(text: string, separator: string | undefined, most: number): string[] {
  if (separator === undefined) return splitAtSpaces(text, most)
  if (separator === '') throw valueError('empty separator')
  const parts = text.split(separator)
  if (most < 0 || parts.length <= most + 1) return parts
  return [...parts.slice(0, most), parts.slice(most).join(separator)]
}

export function splitFromRight(text: string, separator: string | undefined, most: number): string[] {
  if (most < 0) return split(text, separator, most)
  if (separator === undefined) {
    const reversed = splitAtSpaces(Array.from(text).reverse().join(''), most)
    return reversed.map((part) => Array.from(part).reverse().join('')).reverse()
  }
  if (separator === '') throw valueError('empty separator')
  const parts: string[] = []
  let rest = text
  while (parts.length < most) {
    const at = rest.lastIndexOf(separator)
    if (at < 0) break
    parts.unshift(rest.slice(at + separator.length))
    rest = rest.slice(0, at)
  }
  return [rest, ...parts]
}

function splitAtSpaces(text: string, most: number): string[] {
  const parts: string[] = []
  let rest = strip(text, 'left')
  if (most < 0) {
    rest = strip(rest, 'right')
    return rest === '' ? [] : rest.split(RUN_OF_SPACES)
  }
  while (rest !== '' && parts.length < most) {
    const at = rest.search(SPACE)
    if (at < 0) break
    parts.push(rest.slice(0, at))
    rest = strip(rest.slice(at), 'left')
  }
  return rest === '' ? parts : [...parts, rest]
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: separators of files, groups and records end a line
const LINE = /\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/g

export function splitLines(text: string, keepEnds = false): string[] {
  const lines: string[] = []
  let start = 0
  for (const match of text.matchAll(LINE)) {
    const end = match.index + match[0].length
    lines.push(text.slice(start, keepEnds ? end : match.index))
    start = end
  }
  if (start < text.length) lines.push(text.slice(start))
  return lines
}

/** Bounds of a slice of something with `length` items, as Python has them: a negative one counts from the end. */
export function bounds(length: number, start?: number, stop?: number): [start: number, stop: number] {
  const from = start === undefined ? 0 : start < 0 ? Math.max(0, length + start) : Math.min(start, length)
  const to = stop === undefined ? length : stop < 0 ? Math.max(0, length + stop) : Math.min(stop, length)
  return [from, to]
}

/** text[start:stop] */
export function slice(text: string, start?: number, stop?: number): string {
  if (!hasPairs(text)) return text.slice(...bounds(text.length, start, stop))
  const all = Array.from(text)
  return all.slice(...bounds(all.length, start, stop)).join('')
}

/** Index of the first (or last) `part` in text[start:stop]; -1: it is not there. */
export function find(text: string, part: string, last: boolean, start?: number, stop?: number): number {
  const [from, to] = bounds(characters(text), start, stop)
  if (from > to || (start !== undefined && start > characters(text))) return -1
  const within = slice(text, from, to)
  const at = last ? within.lastIndexOf(part) : within.indexOf(part)
  return at < 0 ? -1 : from + characters(within.slice(0, at))
}

export function count(text: string, part: string, start?: number, stop?: number): number {
  const within = slice(text, start, stop)
  return part === '' ? characters(within) + 1 : within.split(part).length - 1
}

/** At most `most` times, all where it is negative. */
export function replace(text: string, old: string, by: string, most: number): string {
  const parts = old === '' ? ['', ...Array.from(text), ''] : text.split(old)
  const done = most < 0 ? parts.length - 1 : Math.min(most, parts.length - 1)
  requireUnits(text.length + done * Math.max(0, by.length - old.length))
  if (done === parts.length - 1) return parts.join(by)
  return [...parts.slice(0, done).map((part) => part + by), parts.slice(done).join(old)].join('')
}

export function repeat(text: string, times: number): string {
  if (times <= 0 || text === '') return ''
  requireUnits(text.length * times)
  return text.repeat(times)
}

export function pad(text: string, width: number, side: 'left' | 'right' | 'both', fill = ' '): string {
  if (characters(fill) !== 1) throw new JinjaError('TypeError', 'The fill character must be exactly one character long')
  const missing = width - characters(text)
  if (missing <= 0) return text
  if (side !== 'both') return side === 'left' ? repeat(fill, missing) + text : text + repeat(fill, missing)
  const left = Math.floor(missing / 2) + (missing & width & 1)
  return repeat(fill, left) + text + repeat(fill, missing - left)
}

export function zeroFill(text: string, width: number): string {
  const sign = /^[+-]/.exec(text)?.[0] ?? ''
  return sign + pad(text.slice(sign.length), width - sign.length, 'left', '0')
}

export function expandTabs(text: string, size: number): string {
  let column = 0
  let all = ''
  for (const char of text) {
    if (char === '\t') {
      const spaces = size > 0 ? size - (column % size) : 0
      all += repeat(' ', spaces)
      column += spaces
    } else {
      all += char
      column = char === '\n' || char === '\r' ? 0 : column + 1
    }
  }
  return all
}

/** What begins a word: a character of two cases in one (ǆ) has a third, for titles. */
const TITLES: Record<string, string> = {
  Ǆ: 'ǅ',
  ǅ: 'ǅ',
  ǆ: 'ǅ',
  Ǉ: 'ǈ',
  ǈ: 'ǈ',
  ǉ: 'ǈ',
  Ǌ: 'ǋ',
  ǋ: 'ǋ',
  ǌ: 'ǋ',
  Ǳ: 'ǲ',
  ǲ: 'ǲ',
  ǳ: 'ǲ',
}

function titled(char: string): string {
  const known = TITLES[char]
  if (known) return known
  const [first, ...rest] = char.toUpperCase()
  return (first ?? '') + rest.join('').toLowerCase()
}

export function capitalize(text: string): string {
  const first = text === '' ? '' : String.fromCodePoint(text.codePointAt(0) as number)
  return titled(first) + text.slice(first.length).toLowerCase()
}

const WORDS = /\p{Cased}+/gu

/** str.title(): every run of letters with a case begins with an upper one. */
export function title(text: string): string {
  return text.replace(WORDS, (word) => {
    const first = String.fromCodePoint(word.codePointAt(0) as number)
    return titled(first) + word.slice(first.length).toLowerCase()
  })
}

export function swapCase(text: string): string {
  return Array.from(text, (char) => (/\p{Uppercase}/u.test(char) ? char.toLowerCase() : char.toUpperCase())).join('')
}

export function isTitle(text: string): boolean {
  return /\p{Cased}/u.test(text) && title(text) === text
}

export const isUpper = (text: string) => !/[\p{Lowercase}\p{Lt}]/u.test(text) && /\p{Uppercase}/u.test(text)
export const isLower = (text: string) => !/[\p{Uppercase}\p{Lt}]/u.test(text) && /\p{Lowercase}/u.test(text)

/** Python's order of texts is that of code points; JavaScript's is that of UTF-16 units. */
export function compareTexts(left: string, right: string): number {
  if (left === right) return 0
  if (!hasPairs(left) && !hasPairs(right)) return left < right ? -1 : 1
  const a = Array.from(left, (char) => char.codePointAt(0) as number)
  const b = Array.from(right, (char) => char.codePointAt(0) as number)
  for (let i = 0; i < a.length && i < b.length; i++) if (a[i] !== b[i]) return a[i] - b[i]
  return a.length - b.length
}
