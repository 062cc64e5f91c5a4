/** The one choice of a turn as a message that grows, for APIs that write items or blocks in place of chat's deltas. */
import type { LogprobRows } from '../../../runtime/index.ts'
import type { Piece } from '../generation.ts'
import type { Usage } from '../usage.ts'
import type { MessageDelta, MessageReader, ToolCallDelta } from './delta.ts'

/** Takes the parts of a message in the order in which they stand in it. */
export interface MessageParts {
  reasoning(text: string): void
  /** `rows`: logprobs of the tokens that brought the text, when asked for. */
  content(text: string, rows: readonly LogprobRows[]): void
  toolCall(call: ToolCallDelta): void
}

/** How a message ended. */
export type Ending = Required<Pick<Piece, 'finish'>> &
  Pick<Piece, 'stopReason'> & {
    /** The last call that was told. */
    brokenOff?: boolean
  }

export class Reading {
  /** Undefined until the last piece has come; for ever, when nobody waited for that. */
  ending: Ending | undefined
  private readonly reader: MessageReader
  private readonly parts: MessageParts
  /** White space that begins a text: between a thought and a call it is no text of its own. */
  private spaces = ''
  private inContent = false
  private anything = false
  private rows: LogprobRows[] = []

  constructor(reader: MessageReader, parts: MessageParts) {
    this.reader = reader
    this.parts = parts
  }

  /** Whether the message has all that it may have: nothing after it is wanted. */
  take(piece: Piece): boolean {
    this.read(piece)
    return this.reader.enough === true
  }

  private read(piece: Piece): void {
    if (piece.logprobs) this.rows.push(piece.logprobs)
    this.pass(this.reader.push(piece.text, piece.tokens))
    if (!piece.finish) return
    this.pass(this.reader.finish())
    // White space alone is the answer where there is nothing else.
    if (this.spaces !== '' && !this.anything) this.say(this.spaces)
    this.ending = { finish: piece.finish, stopReason: piece.stopReason, brokenOff: this.reader.brokenOff === true }
  }

  /** With what was reasoned. */
  usage(usage: Usage): Usage {
    return { ...usage, completion_tokens_details: { reasoning_tokens: this.reader.reasoningTokens } }
  }

  private pass({ reasoning, content, toolCalls = [] }: MessageDelta): void {
    if (reasoning) {
      this.leaveContent()
      this.parts.reasoning(reasoning)
    }
    if (content) {
      const text = this.spaces + content
      this.spaces = ''
      if (this.inContent || /\S/.test(content)) this.say(text)
      else this.spaces = text
    }
    for (const call of toolCalls) {
      this.leaveContent()
      this.parts.toolCall(call)
    }
  }

  private say(text: string): void {
    this.inContent = true
    this.anything = true
    this.parts.content(text, this.rows)
    this.rows = []
  }

  private leaveContent(): void {
    this.inContent = false
    this.anything = true
    this.spaces = ''
    this.rows = []
  }
}
