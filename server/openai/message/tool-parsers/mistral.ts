/** Mistral: `[TOOL_CALLS][{"name": …, "arguments": {…}}, …]`; from tokenizer 11 on `[TOOL_CALLS]name[ARGS]{…}`, with `[CALL_ID]…` before `[ARGS]` in some, and once for each call. */
import { randomBytes } from 'node:crypto'
import { argumentsOf, jsonCalls, textWithCalls } from '../json-calls.ts'
import type { MessageWriter } from '../message-writer.ts'
import type { Reading, TextSource } from '../text-source.ts'
import type { ToolParser } from './parser.ts'

const BEGIN = '[TOOL_CALLS]'
const ARGS = '[ARGS]'
const ID = '[CALL_ID]'

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
/** Its templates refuse ids of another form. */
const ID_LENGTH = 9

/** Longer names are none. */
const MOST_NAME = 256

export const mistral: ToolParser = {
  tokens: [BEGIN, ARGS, ID],
  read: (source, out) =>
    textWithCalls(source, out, [BEGIN], function* () {
      yield* source.space()
      const next = yield* source.peek()
      return next === '[' ? yield* jsonCalls(source, out) : yield* named(source, out)
    }),
  callId: () => Array.from(randomBytes(ID_LENGTH), (byte) => ALPHABET[byte % ALPHABET.length]).join(''),
}

function* named(source: TextSource, out: MessageWriter): Reading<boolean> {
  let name = ''
  for (;;) {
    if (yield* source.literal(ID)) while (/[\w-]/.test(yield* source.peek())) source.next()
    if (yield* source.literal(ARGS)) break
    const next = yield* source.peek()
    if (next === '{') break
    if (!/[\w.:-]/.test(next) || name.length === MOST_NAME) return false
    name += source.next()
  }
  if (name === '') return false
  out.call(name)
  yield* source.space()
  return yield* argumentsOf(source, (text) => out.arguments(text))
}
