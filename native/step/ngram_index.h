// Where the last tokens of a sequence have stood before: prompt lookup, after which what followed them there is taken for a draft of what comes now (Saxena, "Prompt Lookup
// Decoding", 2023). Chains of positions by hash, as LZ77 compressors keep them (Deutsch, RFC 1951, section 4): a token costs the same however long the context is.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lorikeet {

// Tokens that must have stood before, at least and at most.
struct NgramLengths {
  int32_t shortest = 0, longest = 0;
};

class NgramIndex {
 public:
  // Of the places before where the last n of history[0, length) stood, for the largest n between `lengths` and among these the latest: what followed, at most `count` tokens,
  // into `draft`; where it reaches the end it goes on with itself, so that what repeats is drafted to repeat. Empty: there is none. `length` never becomes less from call to call,
  // nor do tokens change that a call has seen. At most kCandidates places are looked at.
  void find(const std::vector<int32_t>& history, int32_t length, NgramLengths lengths, int32_t count, std::vector<int32_t>& draft);

 private:
  static constexpr int32_t kCandidates = 64;

  void add(const std::vector<int32_t>& history, int32_t length, int32_t shortest);
  void grow(const std::vector<int32_t>& history, int32_t length, int32_t shortest);
  size_t head_of(const std::vector<int32_t>& history, int32_t end, int32_t shortest) const;

  int32_t indexed_ = 0;             // tokens that are in
  std::vector<int32_t> heads_;      // [a power of two]: the latest end of an n-gram with that hash; 0: none
  std::vector<int32_t> previous_;   // [indexed_ + 1]: the one before it
};

}  // namespace lorikeet
