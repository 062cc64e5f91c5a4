/** A vocabulary as the threads that make masks take it: plain shared memory, made once for each tokenizer. */
import { setImmediate } from 'node:timers/promises'
import type { TokenReader } from '../types.ts'
import { canBeText } from './utf8.ts'

/** Token i is bytes [starts[i], starts[i + 1]); none: it never stands for text. */
export interface Vocabulary {
  id: number
  bytes: Uint8Array
  starts: Int32Array
  /** Tokens that end an answer. */
  ends: number[]
}

/** Tokens that are spelled before others have a turn: less than a millisecond. */
const SLICE = 512

let nextId = 0

/**
 * `special`: tokens that are special are text as well, because the answer shows them. Those that end an answer never are.
 */
export async function packVocabulary(
  tokenizer: TokenReader,
  size: number,
  ends: readonly number[],
  special: boolean,
): Promise<Vocabulary> {
  const starts = new Int32Array(new SharedArrayBuffer(4 * (size + 1)))
  const pieces: Uint8Array[] = []
  let total = 0
  const ending = new Set(ends)
  for (let id = 0; id < size; id++) {
    if (id % SLICE === SLICE - 1) await setImmediate()
    const text = ending.has(id) || (!special && tokenizer.isSpecial(id)) ? undefined : tokenizer.spelled(id)
    if (text && canBeText(text)) {
      pieces.push(text)
      total += text.length
    }
    starts[id + 1] = total
  }
  const bytes = new Uint8Array(new SharedArrayBuffer(total))
  let at = 0
  for (const piece of pieces) {
    bytes.set(piece, at)
    at += piece.length
  }
  return { id: nextId++, bytes, starts, ends: [...ends] }
}
