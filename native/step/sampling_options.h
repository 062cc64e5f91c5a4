// A sequence's scalar sampling options as they lie in the array that it brings along: the order of runtime/sampling-options.ts (a test compares).
#pragma once
#include <cstddef>

namespace lorikeet {

enum class SamplingOption : size_t {
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

inline constexpr size_t kSamplingOptions = static_cast<size_t>(SamplingOption::count);

}  // namespace lorikeet
