// A sequence's scalar sampling options, in the order in which runtime/sampling-options.ts packs them; a test compares the two.
#pragma once

namespace lorikeet {

enum class SamplingOption {
  temperature,
  top_p,
  top_k,
  min_p,
  presence_penalty,
  frequency_penalty,
  repetition_penalty,
  min_tokens,
  logprobs,
  prompt_logprobs,
  count
};

}  // namespace lorikeet
