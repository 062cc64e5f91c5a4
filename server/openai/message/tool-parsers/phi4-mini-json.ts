/** Phi-4-mini: `functools[{"name": …, "arguments": {…}}, …]`; the list may stand between `<|tool_call|>` and `<|/tool_call|>` instead. */
import { jsonCalls, textWithCalls } from '../json-calls.ts'
import type { ToolParser } from './parser.ts'

const WORD = 'functools'
const BEGIN = '<|tool_call|>'
const END = '<|/tool_call|>'

export const phi4MiniJson: ToolParser = {
  tokens: [BEGIN, END],
  read: (source, out) =>
    textWithCalls(source, out, [WORD, BEGIN], function* () {
      yield* source.space()
      if (!(yield* jsonCalls(source, out))) return false
      yield* source.space()
      yield* source.literal(END)
      return true
    }),
}
