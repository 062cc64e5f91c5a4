/**
 * Text of a growing token sequence, piece by piece. A token's text can depend on the token before it (leading spaces, bytes of one character), so each push decodes
 * a short window that starts where the last pieces did, and gives out what is new; an unfinished character (U+FFFD at the end) waits for its other bytes.
 */
import type { Detokenizer } from '../types.ts'

const UNFINISHED = '\ufffd'

export class IncrementalDetokenizer implements Detokenizer {
  private readonly decode: (ids: readonly number[]) => string
  /** Tokens from the window's start on; the first `read` of them have been given out. */
  private window: number[] = []
  private read = 0
  private readText = ''

  constructor(decode: (ids: readonly number[]) => string) {
    this.decode = decode
  }

  push(ids: readonly number[]): string {
    this.window.push(...ids)
    const text = this.decode(this.window)
    if (text.length <= this.readText.length || text.endsWith(UNFINISHED)) return ''
    return this.give(text)
  }

  flush(): string {
    const text = this.decode(this.window)
    return text.length > this.readText.length ? this.give(text) : ''
  }

  private give(text: string): string {
    const piece = text.slice(this.readText.length)
    // The next window starts at what is given out now: enough context for the tokens to come.
    this.window = this.window.slice(this.read)
    this.read = this.window.length
    this.readText = this.decode(this.window)
    return piece
  }
}
