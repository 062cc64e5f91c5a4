/** Formats of calls, under vLLM's names. A further one: its file here, its row, its name in formats.ts. */
import type { ToolFormat } from '../formats.ts'
import { deepseekV3 } from './deepseek-v3.ts'
import { glm45 } from './glm45.ts'
import { granite } from './granite.ts'
import { hermes } from './hermes.ts'
import { kimiK2 } from './kimi-k2.ts'
import { llama3Json } from './llama3-json.ts'
import { minimaxM2 } from './minimax-m2.ts'
import { mistral } from './mistral.ts'
import { openai } from './openai.ts'
import type { ToolParser } from './parser.ts'
import { phi4MiniJson } from './phi4-mini-json.ts'
import { pythonic } from './pythonic.ts'
import { qwen3Coder } from './qwen3-coder.ts'

export type { ToolParser }

export const TOOL_PARSERS: Readonly<Record<ToolFormat, ToolParser>> = {
  deepseek_v3: deepseekV3,
  glm45,
  granite,
  hermes,
  kimi_k2: kimiK2,
  llama3_json: llama3Json,
  minimax_m2: minimaxM2,
  mistral,
  openai,
  phi4_mini_json: phi4MiniJson,
  pythonic,
  qwen3_coder: qwen3Coder,
}
