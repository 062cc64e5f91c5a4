/** Where parsers write the parts of a message that they find; a MessageReader hands out what has been written since it was last asked. */
import type { MessageDelta, ToolCallDelta } from './delta.ts'

export interface WriterOptions {
  /** A new call's id. */
  callId: () => string
  /** Calls that a message may have; of those that are more, nothing is written. */
  mostCalls: number
  /** Calls are written when they are known to be whole: what turns out to be none stays text. Else they are written as they come, and what has been written stays. */
  whole: boolean
  /** Nothing of what was reasoned is written. */
  hideReasoning: boolean
}

export class MessageWriter {
  /** Of the text that is read now. */
  reasons = false
  /** Some was, since the last `take`. */
  reasoned = false
  /** A call that was written as it came came to no end. */
  brokenOff = false
  private readonly options: WriterOptions
  private delta: MessageDelta = {}
  /** White space that ends the content so far: it belongs to the calls if one follows, or comes before. */
  private space = ''
  private calls = 0
  /** Those that are known to be whole. */
  private whole = 0
  /** Of an attempt whose calls wait for its end. */
  private waiting: ToolCallDelta[] = []
  private announced = false
  /** Nothing has been said since the last call. */
  private behindCall = false
  /** `calls` at its beginning. */
  private before = 0

  constructor(options: WriterOptions) {
    this.options = options
  }

  content(text: string): void {
    const all = this.space + (this.behindCall ? text.trimStart() : text)
    this.behindCall &&= all === ''
    // Looked at only where something else came: otherwise much white space would be looked at over and over.
    const end = text.trim() === '' ? 0 : all.trimEnd().length
    this.space = all.slice(end)
    if (end > 0) this.delta.content = (this.delta.content ?? '') + all.slice(0, end)
  }

  reasoning(text: string): void {
    this.reasoned = true
    if (!this.options.hideReasoning) this.delta.reasoning = (this.delta.reasoning ?? '') + text
  }

  /** What follows may be calls. */
  begin(): void {
    this.announced = false
    this.before = this.calls
  }

  /** It is one. `arguments` of it follow. `id`: that which the model gave it. */
  call(name: string, id?: string): void {
    this.announced = true
    const index = this.calls++
    if (!this.options.whole) this.close()
    if (index < this.options.mostCalls) this.add({ index, id: id ?? this.options.callId(), name, arguments: '' })
  }

  /** The next characters of the last call's. */
  arguments(text: string): void {
    const index = this.calls - 1
    if (index < this.options.mostCalls) this.add({ index, arguments: text })
  }

  /** All since `begin` were calls. */
  commit(): void {
    if (this.calls > this.before) this.close()
    for (const delta of this.waiting.splice(0)) this.write(delta)
    this.whole = this.calls
  }

  /** All calls that the message may have have been written; of several that stand in one list and are written as they come, the next has begun. */
  get enough(): boolean {
    const { mostCalls, whole } = this.options
    return this.whole >= mostCalls || (!whole && this.calls > mostCalls)
  }

  /** It was none, or became none: `text` is what was read since `begin`. */
  abandon(text: string): void {
    const { whole, mostCalls } = this.options
    if (whole) this.calls = this.before
    // One that is too many was not written.
    else this.brokenOff ||= this.announced && this.calls <= mostCalls
    this.waiting = []
    if (whole || !this.announced) this.content(text)
  }

  /** At the end of the text. */
  finish(): void {
    if (this.calls === 0 && this.space !== '') this.delta.content = (this.delta.content ?? '') + this.space
    this.space = ''
  }

  take(): MessageDelta {
    const { delta } = this
    this.delta = {}
    this.reasoned = false
    return delta
  }

  /** The text ends here, before a call. */
  private close(): void {
    this.space = ''
    this.behindCall = true
  }

  private add(delta: ToolCallDelta): void {
    if (this.options.whole) this.waiting.push(delta)
    else this.write(delta)
  }

  private write({ index, id, name, arguments: text }: ToolCallDelta): void {
    this.delta.toolCalls ??= []
    const last = this.delta.toolCalls.at(-1)
    if (id !== undefined) this.delta.toolCalls.push({ index, id, name, arguments: text })
    else if (last?.index === index) last.arguments = (last.arguments ?? '') + text
    else this.delta.toolCalls.push({ index, arguments: text })
  }
}
