/** GLM-4.5 to 4.7: `<tool_call>name`, then `<arg_key>key</arg_key>` and `<arg_value>value</arg_value>`, `</tool_call>`; a line each, or none. Values are bare text, those that are no strings JSON. */
import { bareValue, nameUpTo } from '../bare-values.ts'
import { textWithCalls } from '../json-calls.ts'
import type { MessageWriter } from '../message-writer.ts'
import { jsonOfUntyped, typesOf } from '../schema-types.ts'
import type { Reading, TextSource } from '../text-source.ts'
import type { ToolDefinition } from '../tool-use.ts'
import type { ToolParser } from './parser.ts'

const BEGIN = '<tool_call>'
const END = '</tool_call>'
const KEY = '<arg_key>'
const KEY_END = '</arg_key>'
const VALUE = '<arg_value>'
const VALUE_END = '</arg_value>'

export const glm45: ToolParser = {
  tokens: [BEGIN, END, KEY, KEY_END, VALUE, VALUE_END],
  read: (source, out, tools) =>
    textWithCalls(source, out, [BEGIN], function* () {
      yield* source.space()
      return yield* call(source, out, tools)
    }),
}

function* call(source: TextSource, out: MessageWriter, tools: readonly ToolDefinition[]): Reading<boolean> {
  let name = ''
  // What ends it belongs to what follows.
  while (/[\w.-]/.test(yield* source.peek()) && name.length < MOST_NAME) name += source.next()
  yield* source.space()
  let next = yield* source.literal(KEY, END)
  if (name === '' || next === undefined) return false
  const parameters = tools.find((tool) => tool.name === name)?.parameters
  out.call(name)
  out.arguments('{')
  for (let before = ''; next === KEY; before = ', ') {
    const key = yield* nameUpTo(source, KEY_END)
    yield* source.space()
    if (key === undefined || !(yield* source.literal(VALUE))) return false
    out.arguments(`${before}${JSON.stringify(key)}: `)
    const value = { ends: [VALUE_END], types: typesOf(parameters, key), untyped: jsonOfUntyped, ownLines: false }
    if ((yield* bareValue(source, value, (text) => out.arguments(text))) === undefined) return false
    yield* source.space()
    next = yield* source.literal(KEY, END)
  }
  if (next !== END) return false
  out.arguments('}')
  return true
}

const MOST_NAME = 256
