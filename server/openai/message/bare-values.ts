/** Values of arguments that stand as bare text between marks. */
import { inQuotes } from './python-literal.ts'
import { isText, jsonOfText } from './schema-types.ts'
import type { Reading, TextSource } from './text-source.ts'

export interface BareValue {
  /** One of these ends it. */
  ends: readonly string[]
  /** What the tool's schema allows. */
  types: ReadonlySet<string>
  /** What text of no known type is in JSON; absent: a string. */
  untyped?: (text: string) => string
  /** A line end beside either mark is the format's and not the value's. */
  ownLines: boolean
}

/** Writes a value as JSON, a string as it comes; returns what ends it. */
export function* bareValue(
  source: TextSource,
  { ends, types, untyped, ownLines }: BareValue,
  sink: (text: string) => void,
): Reading<string | undefined> {
  const parts: string[] = []
  const text = isText(types) && !(untyped && types.size === 0)
  let first = true
  /** A line end that may be the last. */
  let held = ''
  if (text) sink('"')
  const read = (part: string) => {
    const own = first && ownLines && part.startsWith('\n') ? part.slice(1) : part
    first = false
    const all = held + own
    held = ownLines && all.endsWith('\n') ? '\n' : ''
    const sure = all.slice(0, all.length - held.length)
    if (text) sink(inQuotes(sure))
    else parts.push(sure)
  }
  const end = yield* source.until(ends, read, true)
  // Breaks off: the string stays open, as the whole call does.
  if (end === undefined) return undefined
  if (text) sink('"')
  else sink(untyped && types.size === 0 ? untyped(parts.join('')) : jsonOfText(parts.join(''), types))
  return end
}

/** Text up to one of these, which is taken; undefined if the text or the line ends before, or it is longer than a name can be. */
export function* nameUpTo(source: TextSource, ...ends: string[]): Reading<string | undefined> {
  let name = ''
  while (name.length <= MOST_NAME) {
    if (yield* source.literal(...ends)) return name.trim() || undefined
    const next = yield* source.peek()
    if (next === '' || next === '\n') return undefined
    name += source.next()
  }
  return undefined
}

const MOST_NAME = 256
