/** gpt-oss: calls stand on harmony's commentary channel. */
import { HARMONY_TOKENS, harmony } from '../harmony.ts'
import type { ToolParser } from './parser.ts'

export const openai: ToolParser = { tokens: HARMONY_TOKENS, read: (source, out) => harmony(source, out, true) }
