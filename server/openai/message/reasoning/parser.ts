/** What a format of reasoning is read by. */
import type { Thought } from '../after-reasoning.ts'
import type { MessageWriter } from '../message-writer.ts'
import type { Reading, TextSource } from '../text-source.ts'

/** What the prompt's end says of it: that it has begun, that it is over, or nothing. */
export type Begun = 'begun' | 'over' | undefined

export interface ReasoningParser {
  /** Tokens that it is marked by. Where a model has them as special ones, they are left in the text that is read. */
  readonly tokens: readonly string[]
  /** What comes next when the prompt ends like this; `continues`: in an answer that goes on. */
  begunBy(promptEnd: string, continues: boolean): Begun
  /** How it comes before an answer that a grammar holds; undefined: it cannot, or is over. */
  thought(begun: Begun): Thought | undefined
  /** Reads to where the rest of the message begins. */
  read(source: TextSource, out: MessageWriter, begun: Begun): Reading
}
