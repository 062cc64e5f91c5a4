/** MiniMax-M2: `<minimax:tool_call>`, for each call `<invoke name="…">` with `<parameter name="…">value</parameter>`, `</minimax:tool_call>`. Values are bare text: the tool's schema says what they are. */
import { bareValue, nameUpTo } from '../bare-values.ts'
import { textWithCalls } from '../json-calls.ts'
import type { MessageWriter } from '../message-writer.ts'
import { typesOf } from '../schema-types.ts'
import type { Reading, TextSource } from '../text-source.ts'
import type { ToolDefinition } from '../tool-use.ts'
import type { ToolParser } from './parser.ts'

const BEGIN = '<minimax:tool_call>'
const END = '</minimax:tool_call>'
const INVOKE = '<invoke name='
const INVOKE_END = '</invoke>'
const PARAMETER = '<parameter name='
const PARAMETER_END = '</parameter>'

export const minimaxM2: ToolParser = {
  tokens: [BEGIN, END],
  read: (source, out, tools) =>
    textWithCalls(source, out, [BEGIN], function* () {
      yield* source.space()
      if (!(yield* source.literal(INVOKE))) return false
      do {
        if (!(yield* call(source, out, tools))) return false
        yield* source.space()
      } while (yield* source.literal(INVOKE))
      yield* source.literal(END)
      return true
    }),
}

function* call(source: TextSource, out: MessageWriter, tools: readonly ToolDefinition[]): Reading<boolean> {
  const name = yield* quoted(source)
  if (name === undefined) return false
  const parameters = tools.find((tool) => tool.name === name)?.parameters
  out.call(name)
  out.arguments('{')
  for (let before = ''; ; before = ', ') {
    yield* source.space()
    const next = yield* source.literal(PARAMETER, INVOKE_END)
    if (next === undefined) return false
    if (next === INVOKE_END) break
    const key = yield* quoted(source)
    if (key === undefined) return false
    out.arguments(`${before}${JSON.stringify(key)}: `)
    const value = { ends: [PARAMETER_END], types: typesOf(parameters, key), ownLines: true }
    if ((yield* bareValue(source, value, (text) => out.arguments(text))) === undefined) return false
  }
  out.arguments('}')
  return true
}

/** A name up to its bracket, without the quotation marks that it has or has not. */
function* quoted(source: TextSource): Reading<string | undefined> {
  const name = yield* nameUpTo(source, '>')
  return name?.replace(/^(["'])(.*)\1$/, '$2') || undefined
}
