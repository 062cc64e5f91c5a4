/**
 * Qwen3-Coder, Qwen 3.5 and Seed-OSS: `<tool_call><function=name><parameter=key>value</parameter></function></tool_call>`, a line each; Seed-OSS says `<seed:tool_call>`. Values are bare text; the tool's schema says what they are.
 */
import { bareValue, nameUpTo } from '../bare-values.ts'
import { textWithCalls } from '../json-calls.ts'
import type { MessageWriter } from '../message-writer.ts'
import { typesOf } from '../schema-types.ts'
import type { Reading, TextSource } from '../text-source.ts'
import type { ToolDefinition } from '../tool-use.ts'
import type { ToolParser } from './parser.ts'

const BEGINS = ['<tool_call>', '<seed:tool_call>']
const ENDS = ['</tool_call>', '</seed:tool_call>']
const FUNCTION = '<function='
const FUNCTION_END = '</function>'
const PARAMETER = '<parameter='
const PARAMETER_END = '</parameter>'
/** Some models forget to close a value. */
const VALUE_ENDS = [PARAMETER_END, PARAMETER, FUNCTION_END]

export const qwen3Coder: ToolParser = {
  tokens: [...BEGINS, ...ENDS],
  read: (source, out, tools) =>
    textWithCalls(source, out, [...BEGINS, FUNCTION], function* (marker) {
      yield* source.space()
      if (marker !== FUNCTION && !(yield* source.literal(FUNCTION))) return false
      return yield* call(source, out, tools)
    }),
}

function* call(source: TextSource, out: MessageWriter, tools: readonly ToolDefinition[]): Reading<boolean> {
  const name = yield* nameUpTo(source, '>')
  if (name === undefined) return false
  const parameters = tools.find((tool) => tool.name === name)?.parameters
  out.call(name)
  out.arguments('{')
  let before = ''
  let next: string | undefined
  for (;;) {
    if (next === undefined || next === PARAMETER_END) {
      yield* source.space()
      next = yield* source.literal(PARAMETER, FUNCTION_END, ...ENDS)
    }
    if (next !== PARAMETER) break
    const key = yield* nameUpTo(source, '>')
    if (key === undefined) return false
    out.arguments(`${before}${JSON.stringify(key)}: `)
    before = ', '
    next = yield* bareValue(source, { ends: VALUE_ENDS, types: typesOf(parameters, key), ownLines: true }, (text) =>
      out.arguments(text),
    )
    if (next === undefined) return false
  }
  if (next === undefined) return false
  out.arguments('}')
  if (next !== FUNCTION_END) return true
  yield* source.space()
  yield* source.literal(...ENDS)
  return true
}
