/** Python's literals, written as JSON while they are read: strings, numbers, True, False, None, lists, tuples and dicts. */
import type { Reading, TextSource } from './text-source.ts'

type Sink = (text: string) => void

/** A parser that goes down into lists by itself: none is written as deep as this. */
const MOST_DEPTH = 64
/** Characters of a number or a word. */
const MOST_WORD = 4096

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  b: '\b',
  f: '\f',
  a: '\u0007',
  v: '\v',
  '\\': '\\',
  "'": "'",
  '"': '"',
  '\n': '',
}
/** Hexadecimal digits that such an escape has. */
const HEX: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 }
const OCTAL = /[0-7]/
const WORDS: Readonly<Record<string, string>> = {
  True: 'true',
  False: 'false',
  None: 'null',
  true: 'true',
  false: 'false',
  null: 'null',
}
const NUMBER = /^[+-]?(\d[\d_]*)?(\.\d*)?([eE][+-]?\d+)?$/

/** A text as it stands between a JSON string's quotation marks. */
export const inQuotes = (text: string) => JSON.stringify(text).slice(1, -1)

/** False: what comes is no literal, or breaks off. */
export function* pythonLiteral(source: TextSource, sink: Sink, depth = 0): Reading<boolean> {
  const next = yield* source.peek()
  if (depth > MOST_DEPTH || next === '') return false
  if (next === '"' || next === "'") return yield* string(source, sink)
  if (next === '[' || next === '(') return yield* list(source, sink, next === '[' ? ']' : ')', depth)
  if (next === '{') return yield* dict(source, sink, depth)
  return yield* word(source, sink)
}

function* string(source: TextSource, sink: Sink): Reading<boolean> {
  const quote = source.next()
  sink('"')
  for (;;) {
    const end = yield* source.until([quote, '\\'], (text) => sink(inQuotes(text)))
    if (end === undefined) return false
    if (end === quote) break
    const text = yield* escaped(source)
    if (text === undefined) return false
    sink(inQuotes(text))
  }
  sink('"')
  return true
}

/** What an escape stands for, behind its backslash. What is none stays, as Python has it. */
function* escaped(source: TextSource): Reading<string | undefined> {
  const kind = yield* source.peek()
  if (kind === '') return undefined
  if (OCTAL.test(kind)) return String.fromCharCode(Number.parseInt(yield* digits(source, OCTAL, 3), 8))
  source.next()
  if (Object.hasOwn(ESCAPES, kind)) return ESCAPES[kind]
  if (!Object.hasOwn(HEX, kind)) return `\\${kind}`
  const code = yield* digits(source, /[0-9a-fA-F]/, HEX[kind])
  const point = Number.parseInt(code, 16)
  return code.length === HEX[kind] && point <= 0x10ffff ? String.fromCodePoint(point) : undefined
}

function* digits(source: TextSource, digit: RegExp, most: number): Reading<string> {
  let text = ''
  while (text.length < most && digit.test(yield* source.peek())) text += source.next()
  return text
}

function* list(source: TextSource, sink: Sink, end: string, depth: number): Reading<boolean> {
  source.next()
  sink('[')
  for (let first = true; ; first = false) {
    yield* source.space()
    if (yield* source.literal(end)) break
    if (!first) {
      if (!(yield* source.literal(','))) return false
      yield* source.space()
      if (yield* source.literal(end)) break
      sink(', ')
    }
    if (!(yield* pythonLiteral(source, sink, depth + 1))) return false
  }
  sink(']')
  return true
}

function* dict(source: TextSource, sink: Sink, depth: number): Reading<boolean> {
  source.next()
  sink('{')
  for (let first = true; ; first = false) {
    yield* source.space()
    if (yield* source.literal('}')) break
    if (!first) {
      if (!(yield* source.literal(','))) return false
      yield* source.space()
      if (yield* source.literal('}')) break
      sink(', ')
    }
    if (!/["']/.test(yield* source.peek()) || !(yield* string(source, sink))) return false
    yield* source.space()
    if (!(yield* source.literal(':'))) return false
    sink(': ')
    yield* source.space()
    if (!(yield* pythonLiteral(source, sink, depth + 1))) return false
  }
  sink('}')
  return true
}

function* word(source: TextSource, sink: Sink): Reading<boolean> {
  let text = ''
  while (text.length < MOST_WORD && /[\w.+-]/.test(yield* source.peek())) text += source.next()
  const json = Object.hasOwn(WORDS, text) ? WORDS[text] : numberOf(text)
  if (json === undefined) return false
  sink(json)
  return true
}

/** A number as JSON writes it: with digits on both sides of its point, without what is only for the eye. */
export function numberOf(text: string): string | undefined {
  const match = NUMBER.exec(text)
  if (!match || !/\d/.test(`${match[1] ?? ''}${match[2] ?? ''}`)) return undefined
  const [, whole = '', fraction = '', exponent = ''] = match
  const digits = whole.replaceAll('_', '').replace(/^0+(?=\d)/, '') || '0'
  const tail = fraction === '.' ? '.0' : fraction
  return `${text.startsWith('-') ? '-' : ''}${digits}${tail}${exponent}`
}
