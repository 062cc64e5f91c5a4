/**
 * A tokenizer.json as @huggingface/tokenizers reads it the way Hugging Face's Rust library does. Where the two differ, the same thing is said
 * with a construct that both read alike, or the definition is refused; test/fixtures/tokenizer/ holds what the Rust library makes of hard texts.
 * One difference is left: which of U+FEFF and U+0085 counts as the white space that a token with lstrip or rstrip (Phi-3's) takes along.
 */

export type Json = Record<string, unknown>

/** GPT-2's pattern, which ByteLevel has built in. */
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

const split = (pattern: string): Json => ({ type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false })

function preTokenizer(step: Json | null): Json | null {
  switch (step?.type) {
    case 'Sequence':
      return { ...step, pretokenizers: (step.pretokenizers as Json[]).map(preTokenizer) }
    case 'ByteLevel': {
      // Its own regular expression takes U+FEFF for white space and U+0085 for none; a Split's is translated.
      if (step.use_regex === false) return step
      const plain = { ...step, use_regex: false, add_prefix_space: false }
      const prefix = step.add_prefix_space ? [{ type: 'Metaspace', replacement: ' ', prepend_scheme: 'always' }] : []
      return { type: 'Sequence', pretokenizers: [...prefix, split(GPT2), plain] }
    }
    case 'Digits':
      // JavaScript's \d has decimal digits only; Rust's is_numeric also has ² and Ⅷ.
      return split(step.individual_digits ? '\\p{N}' : '\\p{N}+')
    default:
      return step
  }
}

/** Throws if the library would ignore something that changes the tokens. */
export function faithful(definition: Json): Json {
  const added = (definition.added_tokens ?? []) as { content: string; single_word?: boolean }[]
  const word = added.find((token) => token.single_word)
  if (word) throw new Error(`the added token ${JSON.stringify(word.content)} has single_word, which is not supported`)
  return { ...definition, pre_tokenizer: preTokenizer((definition.pre_tokenizer ?? null) as Json | null) }
}
