/** The sampling of a sequence that samples nothing: it gives a hidden state (SequenceRequest.pooling). */
import { SAMPLING_OPTION_NAMES, SAMPLING_OPTIONS, type SamplingScalars } from './sampling-options.ts'
import type { SamplingParams } from './types.ts'

const scalars = Object.fromEntries(
  SAMPLING_OPTION_NAMES.map((name) => [name, SAMPLING_OPTIONS[name].fallback]),
) as unknown as SamplingScalars

/** Shared by all pooled sequences, and never changed. */
export const POOLED_SAMPLING: SamplingParams = {
  ...scalars,
  maxTokens: 0,
  seed: 0n,
  logitBias: [],
  stopTokenIds: [],
  eosTokenIds: [],
  ignoreEos: false,
}
