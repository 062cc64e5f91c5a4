/** Scalar sampling options as they cross to the addon, once a sequence. */
import type { ScalarSampling } from './types.ts'

/** In this order: native/step/sampling_options.h. */
export function packOptions(params: ScalarSampling): Float64Array {
  return Float64Array.of(
    params.temperature,
    params.topP,
    params.topK,
    params.minP,
    params.presencePenalty,
    params.frequencyPenalty,
    params.repetitionPenalty,
    params.minTokens,
    params.logprobs,
    params.promptLogprobs,
  )
}
