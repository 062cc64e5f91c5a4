/** Llama 3.1 to 4: the whole answer is `{"name": …, "parameters": {…}}`, or several with `;` between; so is what stands behind `<|python_tag|>`. */
import { attempt, jsonCall, textWithCalls } from '../json-calls.ts'
import type { MessageWriter } from '../message-writer.ts'
import type { Reading, TextSource } from '../text-source.ts'
import type { ToolParser } from './parser.ts'

const BEGIN = '<|python_tag|>'

export const llama3Json: ToolParser = {
  tokens: [BEGIN],
  *read(source, out) {
    yield* leading(source, out)
    if ((yield* source.peek()) === '{') yield* attempt(source, out, '', () => calls(source, out))
    yield* textWithCalls(source, out, [BEGIN], function* () {
      yield* source.space()
      return yield* calls(source, out)
    })
  },
}

/** White space before the first character, which is content if that is. */
export function* leading(source: TextSource, out: MessageWriter): Reading {
  source.record()
  yield* source.space()
  const text = source.recorded()
  if (text !== '') out.content(text)
}

function* calls(source: TextSource, out: MessageWriter): Reading<boolean> {
  for (;;) {
    if (!(yield* jsonCall(source, out, true))) return false
    yield* source.space()
    if (!(yield* source.literal(';'))) {
      // Some write a line each.
      if ((yield* source.peek()) !== '{') return true
    }
    yield* source.space()
    // A semicolon that ends them.
    if ((yield* source.peek()) === '') return true
  }
}
