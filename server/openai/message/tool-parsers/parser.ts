/** What a format of calls is read by. */

import type { MessageWriter } from '../message-writer.ts'
import type { Reading, TextSource } from '../text-source.ts'
import type { ToolDefinition } from '../tool-use.ts'

export interface ToolParser {
  /** Tokens that calls are marked by. Where a model has them as special ones, they are left in the text that is read. */
  readonly tokens: readonly string[]
  /** Reads a message to its end. `tools`: those that may be called. */
  read(source: TextSource, out: MessageWriter, tools: readonly ToolDefinition[]): Reading
  /** Where ids of calls have a form of their own. */
  callId?(): string
}
