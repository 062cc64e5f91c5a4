/**
 * Qwen3-Coder and Qwen 3.5: `<tool_call><function=name><parameter=key>value</parameter></function></tool_call>`, a line each. Values are bare text; the tool's schema says what they are.
 */
import { textWithCalls } from '../json-calls.ts'
import type { MessageWriter } from '../message-writer.ts'
import { inQuotes } from '../python-literal.ts'
import { isText, jsonOfText, typesOf } from '../schema-types.ts'
import type { Reading, TextSource } from '../text-source.ts'
import type { ToolDefinition } from '../tool-use.ts'
import type { ToolParser } from './parser.ts'

const BEGIN = '<tool_call>'
const END = '</tool_call>'
const FUNCTION = '<function='
const FUNCTION_END = '</function>'
const PARAMETER = '<parameter='
const PARAMETER_END = '</parameter>'
/** Some models forget to close a value. */
const VALUE_ENDS = [PARAMETER_END, PARAMETER, FUNCTION_END]

const MOST_NAME = 256

export const qwen3Coder: ToolParser = {
  tokens: [BEGIN, END],
  read: (source, out, tools) =>
    textWithCalls(source, out, [BEGIN, FUNCTION], function* (marker) {
      yield* source.space()
      if (marker === BEGIN && !(yield* source.literal(FUNCTION))) return false
      return yield* call(source, out, tools)
    }),
}

function* call(source: TextSource, out: MessageWriter, tools: readonly ToolDefinition[]): Reading<boolean> {
  const name = yield* nameOf(source)
  if (name === undefined) return false
  const parameters = tools.find((tool) => tool.name === name)?.parameters
  out.call(name)
  out.arguments('{')
  let before = ''
  let next: string | undefined
  for (;;) {
    if (next === undefined || next === PARAMETER_END) {
      yield* source.space()
      next = yield* source.literal(PARAMETER, FUNCTION_END, END)
    }
    if (next !== PARAMETER) break
    const key = yield* nameOf(source)
    if (key === undefined) return false
    out.arguments(`${before}${JSON.stringify(key)}: `)
    before = ', '
    next = yield* value(source, typesOf(parameters, key), (text) => out.arguments(text))
    if (next === undefined) return false
  }
  if (next === undefined) return false
  out.arguments('}')
  if (next === END) return true
  yield* source.space()
  yield* source.literal(END)
  return true
}

/** Up to its bracket. */
function* nameOf(source: TextSource): Reading<string | undefined> {
  let name = ''
  for (;;) {
    const next = yield* source.peek()
    if (next === '' || next === '\n' || name.length > MOST_NAME) return undefined
    source.next()
    if (next === '>') return name.trim() || undefined
    name += next
  }
}

/** Writes a value as JSON, a string as it comes; returns what ends it. The line ends beside its tags are the format's. */
function* value(source: TextSource, types: ReadonlySet<string>, sink: (text: string) => void): Reading<string | undefined> {
  const parts: string[] = []
  const text = isText(types)
  let first = true
  /** A line end that may be the last. */
  let held = ''
  if (text) sink('"')
  const read = (part: string) => {
    const own = first && part.startsWith('\n') ? part.slice(1) : part
    first = false
    const all = held + own
    held = all.endsWith('\n') ? '\n' : ''
    const sure = all.slice(0, all.length - held.length)
    if (text) sink(inQuotes(sure))
    else parts.push(sure)
  }
  const end = yield* source.until(VALUE_ENDS, read, true)
  // Breaks off: the string stays open, as the whole call does.
  if (text && end !== undefined) sink('"')
  if (!text && end !== undefined) sink(jsonOfText(parts.join(''), types))
  return end
}
