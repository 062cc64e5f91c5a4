// How often each token of a sequence has come, kept up as tokens come: a penalty costs the distinct tokens, not the context.
#pragma once
#include <cstdint>
#include <span>
#include <vector>
#include "../kernels/kernels.h"

namespace lorikeet {

class TokenCounts {
 public:
  // Counts history[0, length); positions from `prompt_length` on are output. What was counted beyond `length` is taken back, for which history must still hold
  // it: call this before a position is written anew. Cost: the positions that come or go.
  void count(const std::vector<int32_t>& history, int32_t prompt_length, int32_t length);
  // Takes back what was counted beyond `length`, if anything was; counts nothing.
  void take_back(const std::vector<int32_t>& history, int32_t prompt_length, int32_t length) {
    if (counted_ > length) count(history, prompt_length, length);
  }
  // One item for each distinct token so far; those that were taken back stay with no occurrences.
  std::span<const TokenCount> items() const { return items_; }
  void clear();

 private:
  TokenCount& of(int32_t token);
  void grow();

  int32_t counted_ = 0;
  std::vector<TokenCount> items_;
  std::vector<int32_t> places_;  // open addressing, a power of two: item + 1 by token, 0 = empty
};

}  // namespace lorikeet
