/** Sampling parameters that ask for nothing but the likeliest tokens. */
import type { SamplingParams } from '../../runtime/types.ts'

export const greedy = (maxTokens: number): SamplingParams => ({
  maxTokens,
  minTokens: 0,
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  logitBias: [],
  stopTokenIds: [],
  eosTokenIds: [],
  ignoreEos: true,
  logprobs: -1,
  promptLogprobs: -1,
})
