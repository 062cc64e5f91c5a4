// What tests of the persistent batch share.
#pragma once
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>
#include "harness.h"
#include "step/slots.h"

namespace lorikeet::test {

inline constexpr int32_t kOptions = static_cast<int32_t>(SamplingOption::count);

inline bool once(const Kernels& kernels) {
  static const char* first = kernels.name;
  return kernels.name == first;
}

inline Slots slots_of(int32_t count = 4) { return Slots({count, /*block_size=*/4, /*max_batch_tokens=*/32, /*max_model_len=*/64, /*max_logits_rows=*/5, /*block_count=*/16, /*vocab=*/70}); }

inline SlotInput input(int32_t slot, std::vector<int32_t> tokens) {
  SlotInput in;
  in.slot = slot;
  in.prompt_length = static_cast<int32_t>(tokens.size());
  in.tokens = std::move(tokens);
  in.options.assign(kOptions, 0);
  in.options[static_cast<size_t>(SamplingOption::repetition_penalty)] = 1;
  return in;
}

inline std::string refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "";
}

}  // namespace lorikeet::test
