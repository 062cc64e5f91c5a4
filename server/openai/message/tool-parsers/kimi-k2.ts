/**
 * Kimi K2: between marks of their own, `functions.NAME:0`, a mark, and the arguments' JSON for each call. What stands before the mark is the call's id, which the template writes into later prompts.
 */
import { argumentsOf, textWithCalls } from '../json-calls.ts'
import type { MessageWriter } from '../message-writer.ts'
import type { Reading, TextSource } from '../text-source.ts'
import type { ToolDefinition } from '../tool-use.ts'
import type { ToolParser } from './parser.ts'

const ALL_BEGIN = '<|tool_calls_section_begin|>'
const ALL_END = '<|tool_calls_section_end|>'
const BEGIN = '<|tool_call_begin|>'
const ARGUMENTS = '<|tool_call_argument_begin|>'
const END = '<|tool_call_end|>'

const MOST_ID = 256
const ID = /^(?:functions\.)?([\w.-]+):\d+$/

export const kimiK2: ToolParser = {
  tokens: [ALL_BEGIN, ALL_END, BEGIN, ARGUMENTS, END],
  read: (source, out, tools) =>
    textWithCalls(source, out, [ALL_BEGIN], function* () {
      yield* source.space()
      if (!(yield* source.literal(BEGIN))) return false
      do {
        if (!(yield* call(source, out, tools))) return false
        yield* source.space()
      } while (yield* source.literal(BEGIN))
      yield* source.literal(ALL_END)
      return true
    }),
}

function* call(source: TextSource, out: MessageWriter, tools: readonly ToolDefinition[]): Reading<boolean> {
  let id = ''
  while (!(yield* source.literal(ARGUMENTS))) {
    if ((yield* source.peek()) === '' || id.length === MOST_ID) return false
    id += source.next()
  }
  const name = nameOf(id.trim(), tools)
  if (name === undefined) return false
  yield* source.space()
  if ((yield* source.peek()) !== '{') return false
  out.call(name, id.trim())
  if (!(yield* argumentsOf(source, (text) => out.arguments(text)))) return false
  yield* source.space()
  yield* source.literal(END)
  return true
}

/** Some write a number alone, which says what is called where there is one tool. */
const nameOf = (id: string, tools: readonly ToolDefinition[]) =>
  ID.exec(id)?.[1] ?? (/^\d+$/.test(id) && tools.length === 1 ? tools[0].name : undefined)
