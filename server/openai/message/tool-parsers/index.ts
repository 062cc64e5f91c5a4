/** Formats of calls, under vLLM's names. A further one: its file here, its row, its name in formats.ts. */
import type { ToolFormat } from '../formats.ts'
import { deepseekV3 } from './deepseek-v3.ts'
import { granite } from './granite.ts'
import { hermes } from './hermes.ts'
import { llama3Json } from './llama3-json.ts'
import { mistral } from './mistral.ts'
import { openai } from './openai.ts'
import type { ToolParser } from './parser.ts'
import { phi4MiniJson } from './phi4-mini-json.ts'
import { pythonic } from './pythonic.ts'
import { qwen3Coder } from './qwen3-coder.ts'

export type { ToolParser }

export const TOOL_PARSERS: Readonly<Record<ToolFormat, ToolParser>> = {
  deepseek_v3: deepseekV3,
  granite,
  hermes,
  llama3_json: llama3Json,
  mistral,
  openai,
  phi4_mini_json: phi4MiniJson,
  pythonic,
  qwen3_coder: qwen3Coder,
}
