/** A parser of a model's format as a MessageReader. */
import type { MessageDelta, MessageReader } from './delta.ts'
import type { MessageWriter } from './message-writer.ts'
import { type Reading, TextSource } from './text-source.ts'

export class FormatReader implements MessageReader {
  reasoningTokens = 0
  private readonly source = new TextSource()
  private readonly out: MessageWriter
  private readonly parser: Reading
  /** The text of a token alone. */
  private readonly spelling: (token: number) => string

  /** `parse` reads a message to its end. */
  constructor(
    out: MessageWriter,
    spelling: (token: number) => string,
    parse: (source: TextSource, out: MessageWriter) => Reading,
  ) {
    this.out = out
    this.spelling = spelling
    this.parser = parse(this.source, out)
    this.parser.next()
  }

  push(text: string, tokens: readonly number[]): MessageDelta {
    const before = this.out.reasons
    if (text !== '') {
      this.source.push(text)
      this.parser.next()
    }
    this.count(before, tokens)
    return this.out.take()
  }

  finish(): MessageDelta {
    this.source.end()
    this.parser.next()
    this.out.finish()
    return this.out.take()
  }

  /** Marks are no reasoning: where it begins or ends among several tokens, only those on its side of the last that looks like one are. */
  private count(before: boolean, tokens: readonly number[]): void {
    const after = this.out.reasons
    if (before && after) this.reasoningTokens += tokens.length
    else if (before !== after && tokens.length > 1) {
      const mark = tokens.findLastIndex((token) => /^<.*>$/.test(this.spelling(token).trim()))
      const at = mark < 0 ? tokens.length - 1 : mark
      this.reasoningTokens += before ? at : tokens.length - 1 - at
    }
  }
}
