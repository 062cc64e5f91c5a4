/**
 * A template's text as tokens, as Jinja2's lexer makes them with trim_blocks and lstrip_blocks (which is how transformers compiles chat templates): white space control, raw
 * blocks, comments, Python's literals.
 */
import { JinjaError } from './errors.ts'
import { integer } from './numbers.ts'
import { SPACES, strip } from './text.ts'
import { Float, type Integer } from './values.ts'

export type TokenType =
  | 'data'
  | 'block_begin'
  | 'block_end'
  | 'variable_begin'
  | 'variable_end'
  | 'name'
  | 'string'
  | 'number'
  | 'operator'
  | 'eof'

export interface Token {
  type: TokenType
  /** The text of data, a name, a string (its value) or an operator. */
  text: string
  /** Of a number. */
  number?: Integer | Float
  line: number
}

export const syntaxError = (message: string, line: number) => new JinjaError('TemplateSyntaxError', `${message} (line ${line})`)

const S = `[${SPACES}]`
/** Up to the next tag; its sign, if it has one, says what happens to the white space before it. */
const ROOT = new RegExp(
  `(?:\\{%(?<rawSign>[-+]?)${S}*raw${S}*(?:-%\\}${S}*|%\\}))|(?:(?<open>\\{#|\\{%|\\{\\{)(?<sign>[-+]?))`,
  'g',
)
const COMMENT_END = new RegExp(`\\+#\\}|-#\\}${S}*|#\\}\\n?`, 'g')
const RAW_END = new RegExp(`\\{%(?<sign>[-+]?)${S}*endraw${S}*(?:\\+%\\}|-%\\}${S}*|%\\}\\n?)`, 'g')
const BLOCK_END = new RegExp(`\\+%\\}|-%\\}${S}*|%\\}\\n?`, 'y')
const VARIABLE_END = new RegExp(`-\\}\\}${S}*|\\}\\}`, 'y')
const SPACE = new RegExp(`${S}+`, 'y')
const FLOAT = /(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy
const NAME = /[\p{L}\p{N}\p{M}\p{Pc}]+/uy
const STRING = /'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"/sy
const OPERATOR = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y
const IDENTIFIER = /^[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*$/u

const CLOSING: { [open: string]: string } = { '{': '}', '(': ')', '[': ']' }

/** Throws JinjaError TemplateSyntaxError, with the line. */
export function tokenize(source: string): Token[] {
  return new Lexer(source).tokens
}

class Lexer {
  readonly tokens: Token[] = []
  private readonly source: string
  private at = 0
  /** The last thing read ended a line: a tag that follows may stand alone in its line. */
  private lineStarts = true
  private line = 1
  private counted = 0

  constructor(source: string) {
    const lines = source.replace(/\r\n?/g, '\n')
    this.source = lines.endsWith('\n') ? lines.slice(0, -1) : lines
    while (this.at < this.source.length) this.root()
    this.push('eof', '')
  }

  private root(): void {
    const { source } = this
    ROOT.lastIndex = this.at
    const match = ROOT.exec(source)
    if (!match?.groups) {
      this.push('data', source.slice(this.at))
      this.at = source.length
      return
    }
    const { open, sign, rawSign } = match.groups
    this.data(source.slice(this.at, match.index), sign ?? rawSign, open !== '{{')
    this.moveTo(match.index + match[0].length)
    if (open === undefined) this.raw()
    else if (open === '{#') this.comment()
    else this.tag(open === '{%' ? 'block' : 'variable')
  }

  /** Text before a tag: `-` takes its white space away, `+` keeps it, and otherwise a block takes that before it in its own line. */
  private data(text: string, sign: string, block: boolean): void {
    let kept = text
    if (sign === '-') kept = strip(text, 'right')
    else if (sign !== '+' && block) {
      const start = text.lastIndexOf('\n') + 1
      if ((start > 0 || this.lineStarts) && strip(text.slice(start), 'left') === '') kept = text.slice(0, start)
    }
    if (kept !== '') this.push('data', kept)
  }

  private raw(): void {
    const { source, at } = this
    RAW_END.lastIndex = at
    const end = RAW_END.exec(source)
    if (!end?.groups) throw syntaxError('Missing end of raw directive', this.lineAt(at))
    this.data(source.slice(at, end.index), end.groups.sign, true)
    this.moveTo(end.index + end[0].length)
  }

  private comment(): void {
    COMMENT_END.lastIndex = this.at
    const end = COMMENT_END.exec(this.source)
    if (!end) throw syntaxError('Missing end of comment tag', this.lineAt(this.at))
    this.moveTo(end.index + end[0].length)
  }

  private tag(kind: 'block' | 'variable'): void {
    this.push(`${kind}_begin`, '')
    const end = kind === 'block' ? BLOCK_END : VARIABLE_END
    const open: string[] = []
    for (;;) {
      const closed = open.length === 0 && this.match(end)
      if (closed) {
        this.push(`${kind}_end`, '')
        this.moveTo(this.at + closed.length)
        return
      }
      if (this.at >= this.source.length) {
        this.push('eof', '')
        return
      }
      this.inside(open)
    }
  }

  private inside(open: string[]): undefined {
    const { source, at } = this
    const space = this.match(SPACE)
    if (space) {
      this.at += space.length
      return undefined
    }
    const float = source[at - 1] === '.' ? undefined : this.match(FLOAT)
    if (float) return this.take('number', float, float, new Float(Number(float.replaceAll('_', ''))))
    const whole = this.match(INTEGER)
    if (whole) return this.take('number', whole, whole, integer(BigInt(whole.replaceAll('_', ''))))
    const name = this.match(NAME)
    if (name) {
      if (!IDENTIFIER.test(name)) throw syntaxError('Invalid character in identifier', this.lineAt(at))
      return this.take('name', name)
    }
    const string = this.match(STRING)
    if (string) return this.take('string', string, unescaped(string.slice(1, -1), this.lineAt(at)))
    const operator = this.match(OPERATOR)
    if (!operator) throw syntaxError(`unexpected char ${JSON.stringify(source[at])}`, this.lineAt(at))
    if (CLOSING[operator]) open.push(CLOSING[operator])
    else if ('})]'.includes(operator)) {
      const expected = open.pop()
      if (expected !== operator)
        throw syntaxError(
          expected ? `unexpected '${operator}', expected '${expected}'` : `unexpected '${operator}'`,
          this.lineAt(at),
        )
    }
    this.take('operator', operator)
  }

  /** Nothing more is to be done with it. */
  private take(type: TokenType, text: string, value = text, number?: Integer | Float): undefined {
    this.push(type, value, number)
    this.at += text.length
  }

  private match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at
    return pattern.exec(this.source)?.[0]
  }

  private moveTo(at: number): void {
    this.at = at
    this.lineStarts = this.source[at - 1] === '\n'
  }

  private push(type: TokenType, text: string, number?: Integer | Float): void {
    this.tokens.push({ type, text, number, line: this.lineAt(this.at) })
  }

  private lineAt(at: number): number {
    for (; this.counted < at; this.counted++) if (this.source[this.counted] === '\n') this.line++
    return this.line
  }
}

const ESCAPES: { [char: string]: string } = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

/** A string literal's value: Python's escapes; a backslash before anything else stays. */
function unescaped(body: string, line: number): string {
  if (!body.includes('\\')) return body
  return body.replace(
    /\\(?:([0-7]{1,3})|x(.{0,2})|u(.{0,4})|U(.{0,8})|N(\{[^}]*\})?|(.))/gsu,
    (all, octal?: string, x?: string, u?: string, wide?: string, named?: string, char?: string) => {
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8))
      if (char !== undefined) return ESCAPES[char] ?? all
      const [digits, size] = x !== undefined ? [x, 2] : u !== undefined ? [u, 4] : [wide, 8]
      if (digits === undefined) throw syntaxError(`the escape \\N${named ?? ''} (a character by its name) is not supported`, line)
      const code = digits.length === size && /^[\da-f]+$/i.test(digits) ? Number.parseInt(digits, 16) : Number.NaN
      if (!(code <= 0x10ffff)) throw syntaxError(`truncated or illegal escape ${JSON.stringify(all)}`, line)
      return String.fromCodePoint(code)
    },
  )
}
