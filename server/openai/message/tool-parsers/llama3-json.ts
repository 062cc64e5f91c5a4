/**
 * Llama 3.1 to 4: the answer is `{"name": …, "parameters": {…}}`, or several with `;` between; so is what stands behind `<|python_tag|>`. Small ones say something first: an object amid text is a call if it
 * names one of the request's tools.
 */
import { attempt, jsonCall } from '../json-calls.ts'
import type { MessageWriter } from '../message-writer.ts'
import type { Reading, TextSource } from '../text-source.ts'
import type { ToolParser } from './parser.ts'

const BEGIN = '<|python_tag|>'
const OBJECT = '{'

export const llama3Json: ToolParser = {
  tokens: [BEGIN],
  *read(source, out, tools) {
    const known = new Set(tools.map(({ name }) => name))
    yield* leading(source, out)
    if ((yield* source.peek()) === OBJECT) yield* calls(source, out, '')
    for (;;) {
      const marker = yield* source.until([BEGIN, OBJECT], (text) => out.content(text))
      if (marker === undefined) return
      if (marker === OBJECT) {
        source.back(OBJECT)
        yield* calls(source, out, '', known)
      } else yield* calls(source, out, BEGIN)
    }
  },
}

/** White space before the first character, which is content if that is. */
export function* leading(source: TextSource, out: MessageWriter): Reading {
  source.record()
  yield* source.space()
  const text = source.recorded()
  if (text !== '') out.content(text)
}

/** Each by itself: one that is none takes nothing from those before it. `before`: what was taken already. */
function* calls(source: TextSource, out: MessageWriter, before: string, known?: ReadonlySet<string>): Reading {
  for (let between = before; ; ) {
    const read = function* () {
      yield* source.space()
      return yield* jsonCall(source, out, true, known)
    }
    if (!(yield* attempt(source, out, between, read))) return
    // A semicolon, or a line each.
    source.record()
    yield* source.space()
    yield* source.literal(';')
    yield* source.space()
    between = source.recorded()
    const next = yield* source.peek()
    if (next === OBJECT) continue
    // One that ends them is no text.
    if (next !== '') out.content(between)
    return
  }
}
