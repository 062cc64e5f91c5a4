/** Llama 3.2 and 4, ToolACE: the answer is a list of Python calls with named arguments, `[get_weather(city='Paris', days=3)]`; Llama 4 sets it between `<|python_start|>` and `<|python_end|>`. */
import { attempt, textWithCalls } from '../json-calls.ts'
import type { MessageWriter } from '../message-writer.ts'
import { pythonLiteral } from '../python-literal.ts'
import type { Reading, TextSource } from '../text-source.ts'
import { leading } from './llama3-json.ts'
import type { ToolParser } from './parser.ts'

const BEGIN = '<|python_start|>'
const END = '<|python_end|>'

const MOST_NAME = 256

export const pythonic: ToolParser = {
  tokens: [BEGIN, END],
  *read(source, out) {
    yield* leading(source, out)
    if ((yield* source.peek()) === '[') yield* attempt(source, out, '', () => calls(source, out))
    yield* textWithCalls(source, out, [BEGIN], function* () {
      yield* source.space()
      return yield* calls(source, out)
    })
  },
}

function* calls(source: TextSource, out: MessageWriter): Reading<boolean> {
  if (!(yield* source.literal('['))) return false
  for (let first = true; ; first = false) {
    yield* source.space()
    if (!first && (yield* source.literal(']'))) break
    if (!first && !(yield* source.literal(','))) return false
    yield* source.space()
    if (!(yield* call(source, out))) return false
  }
  yield* source.space()
  yield* source.literal(END)
  return true
}

/** It is one when its first argument has a name and a value begins, or it has none: `[see (1)]` is text. */
function* call(source: TextSource, out: MessageWriter): Reading<boolean> {
  const name = yield* identifier(source, /[\w.-]/)
  if (name === '' || !(yield* source.literal('('))) return false
  for (let first = true; ; first = false) {
    yield* source.space()
    if (yield* source.literal(')')) {
      if (first) out.call(name)
      out.arguments(first ? '{}' : '}')
      return true
    }
    if (!first) {
      if (!(yield* source.literal(','))) return false
      yield* source.space()
      if (yield* source.literal(')')) {
        out.arguments('}')
        return true
      }
    }
    const key = yield* identifier(source, /\w/)
    yield* source.space()
    if (key === '' || !(yield* source.literal('='))) return false
    yield* source.space()
    if (first) out.call(name)
    out.arguments(`${first ? '{' : ', '}${JSON.stringify(key)}: `)
    if (!(yield* pythonLiteral(source, (text) => out.arguments(text)))) return false
  }
}

function* identifier(source: TextSource, part: RegExp): Reading<string> {
  let name = ''
  if (/[\d.-]/.test(yield* source.peek())) return ''
  while (name.length < MOST_NAME && part.test(yield* source.peek())) name += source.next()
  return name
}
