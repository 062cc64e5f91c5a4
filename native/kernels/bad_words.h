// Words that a sequence must not write, as token ids: where its output ends with all of a word but the last token, that token must not follow. As vLLM has it,
// only the output counts, and a word of one token is never written.
//
// A list of n words is one array: n + 1 places in it, where each word begins and the last one ends, then their tokens. No word is empty.
#pragma once
#include <cstdint>

#ifdef __CUDACC__
#define LORIKEET_BOTH __host__ __device__
#else
#define LORIKEET_BOTH
#endif

namespace lorikeet {

// The token that word `word` of the list forbids behind output[0, written), or −1 if it forbids none.
LORIKEET_BOTH inline int32_t forbidden_by(const int32_t* words, int32_t word, const int32_t* output, int32_t written) {
  const int32_t from = words[word], before = words[word + 1] - 1 - from;
  if (before > written) return -1;
  for (int32_t i = 0; i < before; i++)
    if (output[written - before + i] != words[from + i]) return -1;
  return words[from + before];
}

}  // namespace lorikeet
