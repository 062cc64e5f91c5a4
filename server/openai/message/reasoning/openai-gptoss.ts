/** gpt-oss: the analysis channel. Where it writes no calls, this reads the whole message. */
import { HARMONY_TOKENS, harmony } from '../harmony.ts'
import type { ReasoningParser } from './parser.ts'

export const openaiGptoss: ReasoningParser = {
  tokens: HARMONY_TOKENS,
  begunBy: () => undefined,
  // The answer would stand on a channel, behind a mark that no grammar knows.
  thought: () => undefined,
  read: (source, out) => harmony(source, out, false),
}
