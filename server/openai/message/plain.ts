/** Text that is content from its first character to its last. */
import type { MessageDelta, MessageReader } from './delta.ts'

export class PlainReader implements MessageReader {
  readonly reasoningTokens = 0

  push(text: string): MessageDelta {
    return text === '' ? {} : { content: text }
  }

  finish(): MessageDelta {
    return {}
  }
}
