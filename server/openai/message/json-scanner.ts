/** Follows one JSON value through a text that comes in pieces. */

type State = 'more' | 'done' | 'wrong'

/** What may come next. */
const VALUE = 0
const VALUE_OR_END = 1
const KEY_OR_END = 2
const KEY = 3
const COLON = 4
const COMMA_OR_END = 5
const STRING = 6
const ESCAPE = 7
const HEX = 8
const NUMBER = 9
const WORD = 10

const OBJECT = 1
const LIST = 2

const SPACE = ' \t\n\r'
const NUMERIC = '+-.eE0123456789'
const WHOLE_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/
const WORDS: Readonly<Record<string, string>> = { t: 'true', f: 'false', n: 'null' }
const CONTROLS: Readonly<Record<string, string>> = { '\n': '\\n', '\t': '\\t', '\r': '\\r' }

export class JsonScanner {
  state: State = 'more'
  /** The value's text in what the last `scan` has taken. Models write line ends into strings as they are: they are written as JSON has them. */
  written = ''
  private expected = VALUE
  /** What the value stands in: OBJECT or LIST each. */
  private readonly around: number[] = []
  private isKey = false
  /** Hexadecimal digits that an escape still wants. */
  private digits = 0
  /** A number so far, or what is left of a word. */
  private scalar = ''

  /** Takes characters from `at` on; returns where it stopped: at the end of the text, of the value, or at what is wrong. */
  scan(text: string, at: number): number {
    this.written = ''
    let from = at
    let i = at
    while (i < text.length && this.state === 'more') {
      const char = text[i]
      const control = this.expected === STRING && char < ' '
      if (control) {
        this.written += text.slice(from, i) + (CONTROLS[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
        from = ++i
      } else if (this.take(char)) i++
    }
    this.written += text.slice(from, i)
    return i
  }

  /** No more text comes. True if what has come is a value. */
  end(): boolean {
    if (this.expected === NUMBER && this.around.length === 0) this.closeNumber()
    return this.state === 'done'
  }

  /** False: it is not the value's, or not yet looked at. */
  private take(char: string): boolean {
    switch (this.expected) {
      case STRING:
        if (char === '"') this.closeString()
        else if (char === '\\') this.expected = ESCAPE
        return true
      case ESCAPE:
        return this.escape(char)
      case HEX:
        if (!/[0-9a-fA-F]/.test(char)) return this.wrong()
        if (--this.digits === 0) this.expected = STRING
        return true
      case NUMBER:
        // No number needs more digits; such a text would be tested over and over.
        if (NUMERIC.includes(char) && this.scalar.length < 4096) {
          this.scalar += char
          return true
        }
        this.closeNumber()
        return false
      case WORD:
        if (char !== this.scalar[0]) return this.wrong()
        this.scalar = this.scalar.slice(1)
        if (this.scalar === '') this.close()
        return true
      default:
        return SPACE.includes(char) && this.around.length > 0 ? true : this.structure(char)
    }
  }

  private structure(char: string): boolean {
    const { expected } = this
    const ends = (closing: string, kind: number, from: readonly number[]) =>
      char === closing && this.around.at(-1) === kind && from.includes(expected)
    if (ends('}', OBJECT, [KEY_OR_END, COMMA_OR_END]) || ends(']', LIST, [VALUE_OR_END, COMMA_OR_END])) {
      this.around.pop()
      return this.close()
    }
    if (expected === COLON) return char === ':' ? this.expect(VALUE) : this.wrong()
    if (expected === COMMA_OR_END) return char === ',' ? this.expect(this.around.at(-1) === OBJECT ? KEY : VALUE) : this.wrong()
    if (expected === KEY || expected === KEY_OR_END) {
      this.isKey = true
      return char === '"' ? this.expect(STRING) : this.wrong()
    }
    return this.value(char)
  }

  private value(char: string): boolean {
    this.isKey = false
    if (char === '"') return this.expect(STRING)
    if (char === '{') {
      this.around.push(OBJECT)
      return this.expect(KEY_OR_END)
    }
    if (char === '[') {
      this.around.push(LIST)
      return this.expect(VALUE_OR_END)
    }
    if (char === '-' || (char >= '0' && char <= '9')) {
      this.scalar = char
      return this.expect(NUMBER)
    }
    const word = Object.hasOwn(WORDS, char) ? WORDS[char] : undefined
    if (word === undefined) return this.wrong()
    this.scalar = word.slice(1)
    return this.expect(WORD)
  }

  private escape(char: string): boolean {
    if (char === 'u') {
      this.digits = 4
      return this.expect(HEX)
    }
    return '"\\/bfnrt'.includes(char) ? this.expect(STRING) : this.wrong()
  }

  private closeString(): void {
    if (this.isKey) this.expected = COLON
    else this.close()
  }

  private closeNumber(): void {
    if (WHOLE_NUMBER.test(this.scalar)) this.close()
    else this.wrong()
  }

  private close(): true {
    if (this.around.length === 0) this.state = 'done'
    else this.expected = COMMA_OR_END
    return true
  }

  private expect(expected: number): true {
    this.expected = expected
    return true
  }

  private wrong(): false {
    this.state = 'wrong'
    return false
  }
}
