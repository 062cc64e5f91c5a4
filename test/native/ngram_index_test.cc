// What is found where the last tokens of a sequence stood before, against a search of the whole of it.
#include "step/ngram_index.h"
#include <algorithm>
#include "slots_support.h"

namespace lorikeet::test {
namespace {

std::vector<int32_t> searched(const std::vector<int32_t>& history, int32_t length, NgramLengths lengths, int32_t count) {
  for (int32_t n = lengths.longest; n >= lengths.shortest; n--)
    for (int32_t end = length - 1; end >= n; end--) {
      if (!std::equal(history.begin() + end - n, history.begin() + end, history.begin() + length - n)) continue;
      std::vector<int32_t> draft;
      for (int32_t i = 0; i < count; i++) draft.push_back(end + i < length ? history[end + i] : draft[end + i - length]);
      return draft;
    }
  return {};
}

KERNEL_TEST(a_draft_is_what_followed_the_longest_match_that_is_latest) {
  if (!once(kernels)) return;
  const std::vector<int32_t> history = {1, 2, 3, 9, 2, 3, 7, 5, 2, 3};
  std::vector<int32_t> draft;
  NgramIndex index;
  index.find(history, 10, {2, 4}, 3, draft);
  check(draft == std::vector<int32_t>({7, 5, 2}), "the later of two places");
  NgramIndex whole;
  whole.find({4, 1, 2, 3, 9, 1, 2, 7, 4, 1, 2}, 11, {1, 3}, 2, draft);
  check(draft == std::vector<int32_t>({3, 9}), "the earlier one, where more tokens stood before it");
  NgramIndex loop;
  loop.find({8, 5, 6, 5, 6}, 5, {2, 4}, 5, draft);
  check(draft == std::vector<int32_t>({5, 6, 5, 6, 5}), "what repeats goes on repeating");
  NgramIndex none;
  none.find({1, 2, 3, 4, 5}, 5, {1, 3}, 4, draft);
  check(draft.empty(), "nothing has stood before");
}

KERNEL_TEST(drafts_are_those_of_a_search_of_the_whole_context) {
  if (!once(kernels)) return;
  Random random(11);
  for (int32_t round = 0; round < 60; round++) {
    const NgramLengths lengths{1 + round % 4, 1 + round % 4 + round % 3};
    // Few enough places with one hash that all are looked at.
    const int32_t tokens = lengths.shortest > 1 ? 9 : 40, count = 1 + round % 7;
    std::vector<int32_t> history, draft;
    NgramIndex index;
    for (int32_t length = 1; length < 700; length += 1 + random.below(round % 2 ? 1 : 9)) {
      while (static_cast<int32_t>(history.size()) < length) history.push_back(random.below(tokens) * 1000003);
      const std::vector<int32_t> behind(history.begin(), history.begin() + length);
      index.find(behind, length, lengths, count, draft);
      check(draft == searched(behind, length, lengths, count), "a draft");
    }
  }
}

}  // namespace
}  // namespace lorikeet::test
