/** Formats of reasoning, under vLLM's names. A further one: its file here, its row, its name in formats.ts. */
import type { ReasoningFormat } from '../formats.ts'
import { granite } from './granite.ts'
import { openaiGptoss } from './openai-gptoss.ts'
import type { ReasoningParser } from './parser.ts'
import { deepseekR1, qwen3 } from './think.ts'

export type { ReasoningParser }

export const REASONING_PARSERS: Readonly<Record<ReasoningFormat, ReasoningParser>> = {
  deepseek_r1: deepseekR1,
  granite,
  openai_gptoss: openaiGptoss,
  qwen3,
}
