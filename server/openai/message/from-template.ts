/** Which format a model writes, by the marks that its chat template writes calls with. */
import type { MessageFormats, ToolFormat } from './formats.ts'

/** In this order: what is said first goes before what may stand beside it. */
const MARKS: readonly [ToolFormat | undefined, RegExp][] = [
  // MiniMax-M3 sets a token before marks that look like others': XML in each other, which nothing here reads.
  [undefined, /\]<\]minimax\[>\[/],
  ['openai', /<\|channel\|>[\s\S]*<\|message\|>|<\|message\|>[\s\S]*<\|channel\|>/],
  ['deepseek_v3', /<｜tool▁calls▁begin｜>/],
  ['kimi_k2', /<\|tool_calls_section_begin\|>/],
  ['minimax_m2', /<minimax:tool_call>/],
  ['glm45', /<arg_key>/],
  ['mistral', /\[TOOL_CALLS\]/],
  ['qwen3_coder', /<function=/],
  ['phi4_mini_json', /functools|<\|tool\|>/],
  ['granite', /<\|tool_call\|>/],
  ['hermes', /<tool_call>/],
  ['pythonic', /<\|python_start\|>|\[func_name1\(|\[get_weather\(/],
  ['llama3_json', /<\|python_tag\|>|\{"name": function name, "parameters": /],
]

/** What the operator says goes before what the template shows. Harmony's calls and reasoning are one format. */
export function formatsOf(said: MessageFormats, template: string | undefined): MessageFormats {
  const tools = said.tools ?? toolFormatOf(template)
  const reasoning = said.reasoning ?? (tools === 'openai' ? 'openai_gptoss' : undefined)
  return { ...(tools && { tools }), ...(reasoning && { reasoning }) }
}

/** Nothing is known of a template that shows no tools. */
export function toolFormatOf(template: string | undefined): ToolFormat | undefined {
  if (template === undefined || !/\btools\b/.test(template)) return undefined
  return MARKS.find(([, mark]) => mark.test(template))?.[0]
}
