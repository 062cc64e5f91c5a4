#include "ngram_index.h"
#include <algorithm>
#include <utility>

namespace lorikeet {
namespace {

constexpr size_t kFirstHeads = 256;

// How many tokens before `a` and before `b` are the same, `most` at most.
int32_t common_before(const std::vector<int32_t>& history, int32_t a, int32_t b, int32_t most) {
  int32_t n = 0;
  while (n < most && n < a && history[a - 1 - n] == history[b - 1 - n]) n++;
  return n;
}

}  // namespace

size_t NgramIndex::head_of(const std::vector<int32_t>& history, int32_t end, int32_t shortest) const {
  uint32_t hash = 0;
  for (int32_t i = end - shortest; i < end; i++) hash = (hash ^ static_cast<uint32_t>(history[i])) * 2654435769u;
  return (hash ^ hash >> 15) & (heads_.size() - 1);
}

void NgramIndex::add(const std::vector<int32_t>& history, int32_t length, int32_t shortest) {
  for (int32_t end = indexed_ + 1; end <= length; end++)
    previous_.push_back(end < shortest ? 0 : std::exchange(heads_[head_of(history, end, shortest)], end));
  indexed_ = length;
}

void NgramIndex::grow(const std::vector<int32_t>& history, int32_t length, int32_t shortest) {
  size_t heads = std::max(kFirstHeads, heads_.size());
  while (heads < static_cast<size_t>(length)) heads *= 2;
  heads_.assign(heads, 0);
  previous_.assign(1, 0);
  indexed_ = 0;
  add(history, length, shortest);
}

void NgramIndex::find(const std::vector<int32_t>& history, int32_t length, NgramLengths lengths, int32_t count, std::vector<int32_t>& draft) {
  draft.clear();
  if (static_cast<size_t>(length) > heads_.size() || heads_.empty()) grow(history, length, lengths.shortest);
  else add(history, length, lengths.shortest);
  int32_t best = 0, from = 0, end = previous_[length];
  for (int32_t looked = 0; end > 0 && looked < kCandidates && best < lengths.longest; looked++, end = previous_[end]) {
    const int32_t n = common_before(history, end, length, lengths.longest);
    if (n > best) best = n, from = end;
  }
  if (best < lengths.shortest) return;  // the same hash alone
  for (int32_t i = 0; i < count; i++) draft.push_back(from + i < length ? history[from + i] : draft[from + i - length]);
}

}  // namespace lorikeet
