/** Names of the formats that models write calls and reasoning in, as vLLM's flags have them. */

export const TOOL_FORMATS = [
  'deepseek_v3',
  'glm45',
  'granite',
  'hermes',
  'kimi_k2',
  'llama3_json',
  'minimax_m2',
  'mistral',
  'openai',
  'phi4_mini_json',
  'pythonic',
  'qwen3_coder',
] as const

export const REASONING_FORMATS = ['deepseek_r1', 'granite', 'openai_gptoss', 'qwen3'] as const

export type ToolFormat = (typeof TOOL_FORMATS)[number]
export type ReasoningFormat = (typeof REASONING_FORMATS)[number]

/** Other names of vLLM's for formats that are read alike. */
export const TOOL_SPELLINGS: Readonly<Record<string, ToolFormat>> = {
  deepseek_v31: 'deepseek_v3',
  glm47: 'glm45',
  granite4: 'hermes',
  llama4_json: 'llama3_json',
  llama4_pythonic: 'pythonic',
  qwen3_xml: 'qwen3_coder',
  seed_oss: 'qwen3_coder',
}

/** Likewise. */
export const REASONING_SPELLINGS: Readonly<Record<string, ReasoningFormat>> = {
  deepseek_v3: 'qwen3',
  glm45: 'qwen3',
  minimax_m2: 'deepseek_r1',
}

/** How a model writes its messages. Absent: calls cannot be read; reasoning is part of the text. */
export interface MessageFormats {
  tools?: ToolFormat
  reasoning?: ReasoningFormat
}
