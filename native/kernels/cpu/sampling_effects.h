// What a request asks of its logits before temperature: bias and bans, allowed tokens, penalties.
#pragma once
#include <algorithm>
#include "../kernels.h"
#include "sampling_scan.h"

namespace lorikeet::LORIKEET_ISA {

inline bool changes_logits(const SamplingRow& row) {
  const bool penalised = row.presence != 0 || row.frequency != 0 || row.repetition != 1;
  return row.bias_count > 0 || row.allowed_count > 0 || (penalised && row.history_count > 0);
}

inline void apply_effects(const SamplingRow& row, int64_t vocab, float* x) {
  const auto known = [&](int32_t token) { return token >= 0 && token < vocab; };
  for (int32_t i = 0; i < row.bias_count; i++)
    if (known(row.bias_tokens[i])) x[row.bias_tokens[i]] += row.bias_values[i];
  if (row.allowed_count > 0) {
    float* kept = scratch<float>(Scratch::lora, size_t(row.allowed_count));
    for (int32_t i = 0; i < row.allowed_count; i++) kept[i] = known(row.allowed[i]) ? x[row.allowed[i]] : kNever;
    std::fill(x, x + vocab, kNever);
    for (int32_t i = 0; i < row.allowed_count; i++)
      if (known(row.allowed[i])) x[row.allowed[i]] = kept[i];
  }
  if (row.history_count == 0 || (row.presence == 0 && row.frequency == 0 && row.repetition == 1)) return;
  // How often each token stands in the output (−1: in the prompt alone). Only the history's places are touched.
  int32_t* seen = scratch<int32_t>(Scratch::counts, size_t(vocab));
  for (int32_t i = 0; i < row.history_count; i++)
    if (known(row.history[i])) seen[row.history[i]] = 0;
  for (int32_t i = row.history_prompt; i < row.history_count; i++)
    if (known(row.history[i])) seen[row.history[i]]++;
  constexpr int32_t kDone = -1;
  for (int32_t i = 0; i < row.history_count; i++) {
    const int32_t token = row.history[i];
    if (!known(token) || seen[token] == kDone) continue;
    float& logit = x[token];
    if (row.repetition != 1) logit = logit > 0 ? logit / row.repetition : logit * row.repetition;
    logit -= row.frequency * float(seen[token]);
    if (seen[token] > 0) logit -= row.presence;
    seen[token] = kDone;
  }
}

}  // namespace lorikeet::LORIKEET_ISA
