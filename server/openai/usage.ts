/** OpenAI's usage block. What the prefix cache held tells of others' prompts, so it is told only where the server was started to (as in vLLM). */
import type { Counts } from './generation.ts'

export interface Usage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  prompt_tokens_details: { cached_tokens: number } | null
  completion_tokens_details: { reasoning_tokens: number }
}

/** `details`: with what was found in the prefix cache. `reasoningTokens`: of the completion's. */
export function usageOf(counts: Counts, details: boolean, reasoningTokens = 0): Usage {
  return {
    prompt_tokens: counts.promptTokens,
    completion_tokens: counts.completionTokens,
    total_tokens: counts.promptTokens + counts.completionTokens,
    // n choices of one prompt each find it in the cache, but the prompt counts once.
    prompt_tokens_details: details ? { cached_tokens: Math.min(counts.cachedTokens, counts.promptTokens) } : null,
    completion_tokens_details: { reasoning_tokens: reasoningTokens },
  }
}
