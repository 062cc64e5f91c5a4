/** OpenAI's usage block. */
import type { Counts } from './generation.ts'

export interface Usage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  prompt_tokens_details: { cached_tokens: number }
  completion_tokens_details: { reasoning_tokens: number }
}

export function usageOf(counts: Counts): Usage {
  return {
    prompt_tokens: counts.promptTokens,
    completion_tokens: counts.completionTokens,
    total_tokens: counts.promptTokens + counts.completionTokens,
    // n choices of one prompt each find it in the cache, but the prompt counts once.
    prompt_tokens_details: { cached_tokens: Math.min(counts.cachedTokens, counts.promptTokens) },
    completion_tokens_details: { reasoning_tokens: 0 },
  }
}
