// The list of words that a sequence must not write (native/kernels/bad_words.h), from what crosses the border of the addon.
#pragma once
#include <cstdint>
#include <vector>

namespace lorikeet {

// `records`: for each word how many tokens it has, then those. Throws std::invalid_argument for a word without tokens, one that is cut off, and a token outside
// [0, vocab). Empty for no words.
std::vector<int32_t> bad_words_of(const std::vector<int32_t>& records, int64_t vocab);

// Of a list that bad_words_of made.
inline int32_t bad_word_count(const std::vector<int32_t>& words) { return words.empty() ? 0 : words[0] - 1; }

}  // namespace lorikeet
