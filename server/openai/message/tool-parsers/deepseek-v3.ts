/** DeepSeek V3 and R1: `function<｜tool▁sep｜>name` and the arguments in a fence, between marks; V3.1: `name<｜tool▁sep｜>{…}` between the same. */
import { argumentsOf, textWithCalls } from '../json-calls.ts'
import type { MessageWriter } from '../message-writer.ts'
import type { Reading, TextSource } from '../text-source.ts'
import type { ToolParser } from './parser.ts'

const ALL_BEGIN = '<｜tool▁calls▁begin｜>'
const ALL_END = '<｜tool▁calls▁end｜>'
const BEGIN = '<｜tool▁call▁begin｜>'
const SEPARATOR = '<｜tool▁sep｜>'
const END = '<｜tool▁call▁end｜>'
const FENCE = '```'

const MOST_NAME = 256

export const deepseekV3: ToolParser = {
  tokens: [ALL_BEGIN, ALL_END, BEGIN, SEPARATOR, END],
  read: (source, out) =>
    textWithCalls(source, out, [ALL_BEGIN], function* () {
      yield* source.space()
      if (!(yield* source.literal(BEGIN))) return false
      do {
        if (!(yield* call(source, out))) return false
        yield* source.space()
      } while (yield* source.literal(BEGIN))
      yield* source.literal(ALL_END)
      return true
    }),
}

function* call(source: TextSource, out: MessageWriter): Reading<boolean> {
  const before = yield* upTo(source, [SEPARATOR])
  if (before === undefined) return false
  const name = (yield* source.peek()) === '{' ? before : yield* upTo(source, ['\n'])
  if (name === undefined || name.trim() === '') return false
  yield* source.space()
  const fenced = (yield* source.literal(`${FENCE}json`)) !== undefined
  yield* source.space()
  if ((yield* source.peek()) !== '{') return false
  out.call(name.trim())
  if (!(yield* argumentsOf(source, (text) => out.arguments(text)))) return false
  yield* source.space()
  if (fenced) yield* source.literal(FENCE)
  yield* source.space()
  yield* source.literal(END)
  return true
}

/** The text before one of these; undefined if it is too long for a name. */
function* upTo(source: TextSource, ends: readonly string[]): Reading<string | undefined> {
  let text = ''
  while (text.length <= MOST_NAME) {
    if (yield* source.literal(...ends)) return text
    if ((yield* source.peek()) === '') return undefined
    text += source.next()
  }
  return undefined
}
