/**
 * `bad_words` (vLLM's): what an answer must not say, as the token ids that the engine forbids: each word as a text begins with it, and as it follows a space. vLLM leaves out the
 * latter where it has more or fewer tokens than the former; here it counts too, since most tokenizers would write the word all the same.
 */
import { ApiError } from '../errors.ts'
import type { Serving, TokenIds } from '../types.ts'
import { type Body, given } from './parameters.ts'

/** UTF-16 units of all words of a request, which are tokenized twice. */
const MOST_UNITS = 1 << 16

/**
 * The words of a body as records: how many tokens a word has, then those. Undefined where there are none. `left`: nobody waits any more. Rejects with ApiError for too much text, for a
 * word that has no tokens, which it names, and with what tokenizing does.
 */
export async function badWordsOf(serving: Serving, body: Body, left: AbortSignal): Promise<Int32Array | undefined> {
  const words = given<string[]>(body, 'bad_words', [])
  if (words.length === 0) return undefined
  const units = words.reduce((sum, { length }) => sum + length, 0)
  if (units > MOST_UNITS)
    throw new ApiError('invalid_request', `bad_words hold ${units} characters; at most ${MOST_UNITS} together`, 'bad_words')
  const texts = words.flatMap((word) => [word.trimStart(), ` ${word.trimStart()}`])
  const paramOf = (i: number) => `bad_words.${Math.floor(i / 2)}`
  const ids = await serving.prompts.encode(texts, { addSpecialTokens: false, param: 'bad_words', paramOf }, left)
  const records: number[] = []
  const add = (word: TokenIds) => {
    // A token that the model does not have is never written.
    if (word.some((id) => id >= serving.vocabSize)) return
    records.push(word.length)
    for (const id of word) records.push(id)
  }
  for (let i = 0; i < ids.length; i += 2) {
    const [word, spaced] = [ids[i], ids[i + 1]]
    if (word.length === 0)
      throw new ApiError('invalid_request', `${paramOf(i)} holds no token: it is empty, or nothing but space`, paramOf(i))
    add(word)
    if (spaced.length !== word.length || spaced.some((id, at) => id !== word[at])) add(spaced)
  }
  return Int32Array.from(records)
}
