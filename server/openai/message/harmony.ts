/**
 * OpenAI's harmony, which gpt-oss writes: messages on channels. `<|channel|>analysis<|message|>` begins what was reasoned, `final` the answer, `commentary to=functions.NAME` a call. The same for calls and reasoning, since neither can
 * be found without the other.
 */
import type { MessageWriter } from './message-writer.ts'
import type { Reading, TextSource } from './text-source.ts'

const START = '<|start|>'
const CHANNEL = '<|channel|>'
const MESSAGE = '<|message|>'
const ENDS = ['<|end|>', '<|call|>', '<|return|>', START, CHANNEL]

export const HARMONY_TOKENS = [START, CHANNEL, MESSAGE, '<|end|>', '<|call|>', '<|return|>', '<|constrain|>']

/** Longer heads are none. */
const MOST_HEAD = 1024

/** Reads a message to its end. `calls`: whether there are tools to be called. */
export function* harmony(source: TextSource, out: MessageWriter, calls: boolean): Reading {
  // The prompt ends behind `<|start|>assistant`: a head goes on. Where it ends in a message, that goes on as text.
  let opened = yield* source.literal(START, CHANNEL, ' to=')
  if (opened === undefined) opened = yield* source.until(ENDS, (text) => out.content(text))
  while (opened !== undefined) {
    // Between two messages there is nothing but their heads.
    if (opened !== START && opened !== CHANNEL && opened !== ' to=') {
      opened = yield* source.until([START, CHANNEL], (text) => out.content(text))
      continue
    }
    source.record()
    const head = yield* headOf(source)
    const text = source.recorded()
    if (head === undefined) {
      out.content(opened + text)
      opened = yield* source.until(ENDS, (more) => out.content(more))
    } else opened = yield* body(source, out, opened === START ? head : opened + head, calls)
  }
}

/** Up to the message's mark; undefined: it has none. */
function* headOf(source: TextSource): Reading<string | undefined> {
  let head = ''
  for (;;) {
    if (yield* source.literal(MESSAGE)) return head
    if ((yield* source.peek()) === '' || head.length > MOST_HEAD) return undefined
    head += source.next()
  }
}

/** Returns what ends it. */
function* body(source: TextSource, out: MessageWriter, head: string, calls: boolean): Reading<string | undefined> {
  const channel = /<\|channel\|>\s*(\w+)/.exec(head)?.[1]
  const recipient = /\bto=([^\s<]+)/.exec(head)?.[1]
  if (calls && recipient?.startsWith('functions.')) {
    let empty = true
    out.begin()
    out.call(recipient.slice('functions.'.length))
    const read = (text: string) => {
      empty = false
      out.arguments(text)
    }
    const end = yield* source.until(ENDS, read, true)
    if (empty) out.arguments('{}')
    out.commit()
    return end
  }
  // What is said to a tool that nobody has is thought aloud.
  const reasons = channel === 'analysis' || recipient !== undefined
  out.reasons = reasons
  const end = yield* source.until(ENDS, (text) => (reasons ? out.reasoning(text) : out.content(text)))
  out.reasons = false
  return end
}
