/** Text to token ids, unless it cannot fit. */
import { ApiError } from './errors.ts'
import type { Serving } from './types.ts'

/**
 * Tokenizing runs on the main thread and takes 1 to 3 seconds a megabyte, during which nobody is served: a text that has more tokens than the context holds
 * whatever they are is refused unread. `param` is the field that holds it.
 */
export function encodePrompt(serving: Serving, text: string, addSpecialTokens: boolean, param: string): number[] {
  const { tokenizer, model } = serving
  const most = tokenizer.longestToken * model.maxModelLen
  if (text.length > most)
    throw new ApiError(
      'context_length_exceeded',
      `This model's maximum context length is ${model.maxModelLen} tokens; ${text.length} characters are more than any ${model.maxModelLen} tokens hold (${most})`,
      param,
    )
  return tokenizer.encode(text, { addSpecialTokens })
}
