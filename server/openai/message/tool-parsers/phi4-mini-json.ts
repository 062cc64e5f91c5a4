/** Phi-4-mini: `functools[{"name": …, "arguments": {…}}, …]`; some write the list, or one call, between `<|tool_call|>` and `<|/tool_call|>`. */
import { jsonCall, jsonCalls, textWithCalls } from '../json-calls.ts'
import type { ToolParser } from './parser.ts'

const WORD = 'functools'
const BEGIN = '<|tool_call|>'
const END = '<|/tool_call|>'

export const phi4MiniJson: ToolParser = {
  tokens: [BEGIN, END],
  read: (source, out) =>
    textWithCalls(source, out, [WORD, BEGIN], function* (marker) {
      yield* source.space()
      const one = marker === BEGIN && (yield* source.peek()) === '{'
      if (!(yield* one ? jsonCall(source, out) : jsonCalls(source, out))) return false
      yield* source.space()
      yield* source.literal(END)
      return true
    }),
}
