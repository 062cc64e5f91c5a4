/** Granite 3: `<|tool_call|>[{"name": …, "arguments": {…}}, …]`; 3.1 writes `<tool_call>`, and either may leave it out at the beginning. */
import { attempt, jsonCalls, textWithCalls } from '../json-calls.ts'
import { leading } from './llama3-json.ts'
import type { ToolParser } from './parser.ts'

const MARKERS = ['<|tool_call|>', '<tool_call>']

export const granite: ToolParser = {
  tokens: MARKERS,
  *read(source, out) {
    yield* leading(source, out)
    if ((yield* source.peek()) === '[') yield* attempt(source, out, '', () => jsonCalls(source, out, true))
    yield* textWithCalls(source, out, MARKERS, function* () {
      yield* source.space()
      return yield* jsonCalls(source, out)
    })
  },
}
