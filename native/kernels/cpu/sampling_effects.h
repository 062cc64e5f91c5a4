// What a request asks of its logits before temperature: bias and bans, allowed tokens, penalties.
#pragma once
#include <algorithm>
#include "../bad_words.h"
#include "../kernels.h"
#include "sampling_scan.h"

namespace lorikeet::LORIKEET_ISA {

inline bool penalises(const SamplingRow& row) { return row.presence != 0 || row.frequency != 0 || row.repetition != 1; }

inline bool changes_logits(const SamplingRow& row) {
  return row.bias_count > 0 || row.banned_count + row.bad_word_count > 0 || row.allowed || (penalises(row) && row.count_count > 0);
}

inline void apply_effects(const SamplingRow& row, int64_t vocab, float* x) {
  const auto known = [&](int32_t token) { return token >= 0 && token < vocab; };
  for (int32_t i = 0; i < row.bias_count; i++)
    if (known(row.bias_tokens[i])) x[row.bias_tokens[i]] += row.bias_values[i];
  for (int32_t i = 0; i < row.banned_count; i++)
    if (known(row.banned[i])) x[row.banned[i]] = kNever;
  for (int32_t i = 0; i < row.bad_word_count; i++)
    if (const int32_t token = forbidden_by(row.bad_words, i, row.output, row.position); known(token)) x[token] = kNever;
  if (row.allowed)
    for (int64_t word = 0; word * 32 < vocab; word++) {
      const uint32_t bits = row.allowed[word];
      if (bits == ~uint32_t{0}) continue;
      for (int64_t i = word * 32; i < std::min(vocab, word * 32 + 32); i++)
        if (!(bits >> (i % 32) & 1)) x[i] = kNever;
    }
  if (!penalises(row)) return;
  for (int32_t i = 0; i < row.count_count; i++) {
    const TokenCount& seen = row.counts[i];
    if (seen.occurrences == 0 || !known(seen.token)) continue;
    float& logit = x[seen.token];
    if (row.repetition != 1) logit = logit > 0 ? logit / row.repetition : logit * row.repetition;
    logit -= row.frequency * float(seen.output);
    if (seen.output > 0) logit -= row.presence;
  }
}

}  // namespace lorikeet::LORIKEET_ISA
