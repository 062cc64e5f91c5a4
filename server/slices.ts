/** Work on the main thread that grows with the answer, in slices: between two of them the others are served. */
import { setImmediate as others } from 'node:timers/promises'
import type { TokenIds, Tokenizer } from './types.ts'

/** Of what jsonInSlices makes, as Fastify says it of objects. */
export const JSON_TYPE = 'application/json; charset=utf-8'

/** Tokens of a slice: about a millisecond of detokenizing. */
const TOKENS = 4096
/** Items of a list that are written at a time. */
const ITEMS = 64
/** Numbers of a list of nothing else. */
const NUMBERS = 4096
/** Characters of JSON in a slice: about a millisecond. */
const CHARACTERS = 1 << 17

/** `Tokenizer.decode`. */
export async function decodeInSlices(
  tokenizer: Tokenizer,
  ids: TokenIds,
  options: { skipSpecialTokens: boolean },
): Promise<string> {
  if (ids.length <= TOKENS) return tokenizer.decode(ids, options)
  const detokenizer = tokenizer.detokenizer(options)
  let text = ''
  for (let at = 0; at < ids.length; at += TOKENS) {
    text += detokenizer.push(ids.slice(at, at + TOKENS))
    await others()
  }
  return text + detokenizer.flush()
}

/** What JSON.stringify writes of plain data. Typed arrays are lists. */
export async function jsonInSlices(value: unknown): Promise<Buffer> {
  const done: Buffer[] = []
  let open = ''
  for (const piece of pieces(value)) {
    open += piece
    if (open.length < CHARACTERS) continue
    done.push(Buffer.from(open))
    open = ''
    await others()
  }
  done.push(Buffer.from(open))
  return Buffer.concat(done)
}

/** Long lists some items at a time by JSON.stringify; what is around them item by item. */
function* pieces(value: unknown): Generator<string> {
  if (ArrayBuffer.isView(value)) yield* list(Array.from(value as Int32Array), NUMBERS)
  else if (Array.isArray(value)) yield* list(value, typeof value[0] === 'number' ? NUMBERS : ITEMS)
  else if (value !== null && typeof value === 'object') {
    yield '{'
    let first = true
    for (const [key, item] of Object.entries(value)) {
      if (item === undefined) continue
      yield `${first ? '' : ','}${JSON.stringify(key)}:`
      yield* pieces(item)
      first = false
    }
    yield '}'
  } else yield JSON.stringify(value)
}

/** A short list's items may each be long. */
function* list(items: readonly unknown[], atOnce: number): Generator<string> {
  yield '['
  if (items.length > ITEMS)
    for (let at = 0; at < items.length; at += atOnce)
      yield (at === 0 ? '' : ',') + JSON.stringify(items.slice(at, at + atOnce)).slice(1, -1)
  else
    for (const [i, item] of items.entries()) {
      if (i > 0) yield ','
      yield* pieces(item ?? null)
    }
  yield ']'
}
