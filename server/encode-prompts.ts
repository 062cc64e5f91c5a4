/** Texts to token ids, unless they cannot fit. */
import { ApiError } from './errors.ts'
import type { Serving, TokenIds } from './types.ts'

/** A text that has more tokens than the context holds whatever they are is refused unread. `param` is the field that holds them. */
export async function encodePrompts(
  { prompts, tokenizer, model }: Serving,
  texts: readonly string[],
  addSpecialTokens: boolean,
  param: string,
  signal: AbortSignal,
): Promise<TokenIds[]> {
  const most = tokenizer.longestToken * model.maxModelLen
  const long = texts.find((text) => text.length > most)
  if (long !== undefined)
    throw new ApiError(
      'context_length_exceeded',
      `This model's maximum context length is ${model.maxModelLen} tokens; ${long.length} characters are more than any ${model.maxModelLen} tokens hold (${most})`,
      param,
    )
  return prompts.encode(texts, { addSpecialTokens, param }, signal)
}
