/** Hermes 2 Pro and 3, Qwen 2.5 and 3, Granite 4: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`. */
import { jsonCall, textWithCalls } from '../json-calls.ts'
import type { ToolParser } from './parser.ts'

const BEGIN = '<tool_call>'
const END = '</tool_call>'

export const hermes: ToolParser = {
  tokens: [BEGIN, END],
  read: (source, out) =>
    textWithCalls(source, out, [BEGIN], function* () {
      yield* source.space()
      if (!(yield* jsonCall(source, out))) return false
      // Small models leave it out.
      yield* source.space()
      yield* source.literal(END)
      return true
    }),
}
