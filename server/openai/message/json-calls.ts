/** Calls that are written as JSON: `{"name": …, "arguments": {…}}`, or lists of them. What is read goes to the writer as it comes. */
import type { MessageWriter } from './message-writer.ts'
import type { Reading, TextSource } from './text-source.ts'

const ARGUMENTS = ['arguments', 'parameters']

/** Reads what may be calls, behind a marker that was taken (or none: ''). `read` says whether it was; if not, all is content. */
export function* attempt(source: TextSource, out: MessageWriter, marker: string, read: () => Reading<boolean>): Reading<boolean> {
  source.record()
  out.begin()
  const calls = yield* read()
  const text = source.recorded()
  if (calls) out.commit()
  else out.abandon(marker + text)
  return calls
}

/** Text with calls behind markers, to the end. `read` goes on behind one. */
export function* textWithCalls(
  source: TextSource,
  out: MessageWriter,
  markers: readonly string[],
  read: (marker: string) => Reading<boolean>,
): Reading {
  for (;;) {
    const marker = yield* source.until(markers, (text) => out.content(text))
    if (marker === undefined) return
    yield* attempt(source, out, marker, () => read(marker))
  }
}

/**
 * One call, from its brace to its brace. `bare`: nothing but its form tells it from any other object, so it is one only with a name and arguments. Otherwise it is one as soon as its name is known. False: it is none,
 * or it breaks off. `known`: names that it may have; absent: any.
 */
export function* jsonCall(source: TextSource, out: MessageWriter, bare = false, known?: ReadonlySet<string>): Reading<boolean> {
  if ((yield* source.literal('{')) === undefined) return false
  let name: string | undefined
  /** Arguments that came before the name. */
  let early: string[] | undefined
  let called = false
  const call = () => {
    called = true
    out.call(name as string)
    for (const text of early ?? []) out.arguments(text)
  }
  let argued = false
  for (let first = true; ; first = false) {
    yield* source.space()
    if (yield* source.literal('}')) break
    if (!first && !(yield* source.literal(','))) return false
    yield* source.space()
    const key = yield* source.string()
    yield* source.space()
    if (key === undefined || !(yield* source.literal(':'))) return false
    yield* source.space()
    if (key === 'name' && name === undefined) {
      name = yield* source.string()
      if (name === undefined || name === '' || known?.has(name) === false) return false
      if (!bare || early) call()
    } else if (ARGUMENTS.includes(key) && !argued) {
      argued = true
      if (name !== undefined && !called) call()
      if (!called) early = []
      const held = early
      if (!(yield* argumentsOf(source, called ? (text) => out.arguments(text) : (text) => held?.push(text)))) return false
    } else if (!(yield* source.json(() => undefined))) return false
  }
  if (name === undefined || (bare && !argued)) return false
  if (!called) call()
  if (!argued) out.arguments('{}')
  return true
}

/** A list of calls, from its bracket to its bracket. */
export function* jsonCalls(source: TextSource, out: MessageWriter, bare = false): Reading<boolean> {
  if ((yield* source.literal('[')) === undefined) return false
  for (let first = true; ; first = false) {
    yield* source.space()
    // An empty list calls nothing.
    if (!first && (yield* source.literal(']'))) return true
    if (!first && !(yield* source.literal(','))) return false
    yield* source.space()
    if (!(yield* jsonCall(source, out, bare))) return false
  }
}

/** Their text. None are written as an object, as clients want one; an object in a string, as some models write it, is that object. */
export function* argumentsOf(source: TextSource, sink: (text: string) => void): Reading<boolean> {
  if (yield* source.literal('"{')) {
    sink('{')
    return yield* unquoted(source, sink)
  }
  if ((yield* source.peek()) !== 'n') return yield* source.json(sink)
  sink('{}')
  return yield* source.json(() => undefined)
}

/** A JSON string's text, behind its quotation mark. */
function* unquoted(source: TextSource, sink: (text: string) => void): Reading<boolean> {
  for (;;) {
    const end = yield* source.until(['"', '\\'], sink)
    if (end !== '\\') return end === '"'
    const length = (yield* source.peek()) === 'u' ? 5 : 1
    let code = ''
    while (code.length < length && (yield* source.peek()) !== '') code += source.next()
    if (!/^(["\\/bfnrt]|u[0-9a-fA-F]{4})$/.test(code)) return false
    sink(JSON.parse(`"\\${code}"`) as string)
  }
}
