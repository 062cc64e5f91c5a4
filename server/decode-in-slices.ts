/** Detokenizing in slices: between two of them the main thread serves others. */
import { setImmediate as others } from 'node:timers/promises'
import type { TokenIds, TokenReader } from './types.ts'

/** Tokens of a slice: about a millisecond of detokenizing. */
const TOKENS = 4096

/** `TokenReader.decode`. */
export async function decodeInSlices(
  tokenizer: TokenReader,
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
