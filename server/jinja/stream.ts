/** A template's tokens, read one by one. */
import { syntaxError, type Token, type TokenType, tokenize } from './lexer.ts'

export class TokenStream {
  private readonly tokens: Token[]
  private at = 0

  constructor(source: string) {
    this.tokens = tokenize(source)
  }

  get current(): Token {
    return this.tokens[this.at]
  }

  /** The one after the current one. */
  get following(): Token {
    return this.tokens[Math.min(this.at + 1, this.tokens.length - 1)]
  }

  /** Whether the current token is one of this type, with this text. */
  is(type: TokenType, text?: string): boolean {
    const { current } = this
    return current.type === type && (text === undefined || current.text === text)
  }

  isOperator(...texts: string[]): boolean {
    return this.current.type === 'operator' && texts.includes(this.current.text)
  }

  isName(...texts: string[]): boolean {
    return this.current.type === 'name' && texts.includes(this.current.text)
  }

  next(): Token {
    const { current } = this
    if (current.type !== 'eof') this.at++
    return current
  }

  /** Whether it was there; it is behind then. */
  skip(type: TokenType, text?: string): boolean {
    const there = this.is(type, text)
    if (there) this.next()
    return there
  }

  /** Throws TemplateSyntaxError. */
  expect(type: TokenType, text?: string): Token {
    if (this.is(type, text)) return this.next()
    const expected = text ?? type
    const { current } = this
    throw this.fail(
      current.type === 'eof'
        ? `unexpected end of template, expected '${expected}'`
        : `expected token '${expected}', got '${shown(current)}'`,
    )
  }

  fail(message: string, line = this.current.line): Error {
    return syntaxError(message, line)
  }
}

export const shown = (token: Token) => (token.text === '' ? token.type.replace('_', ' ') : token.text)
