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

  get enough(): boolean {
    return this.out.enough
  }

  get brokenOff(): boolean {
    return this.out.brokenOff
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

  /** Marks are no reasoning. Where it begins or ends among several tokens, marks are told by their look. */
  private count(before: boolean, tokens: readonly number[]): void {
    const { reasons: after, reasoned } = this.out
    if (before && after) this.reasoningTokens += tokens.length
    else if (reasoned && tokens.length === 1) this.reasoningTokens++
    else if (reasoned && tokens.length > 1) {
      const marks = tokens.flatMap((token, at) => (/^<.*>$/.test(this.spelling(token).trim()) ? [at] : []))
      const last = marks.at(-1) ?? tokens.length - 1
      if (before) this.reasoningTokens += last
      else if (after) this.reasoningTokens += tokens.length - 1 - (marks.at(-1) ?? 0)
      else this.reasoningTokens += last - 1 - (marks.at(-2) ?? -1)
    }
  }
}
