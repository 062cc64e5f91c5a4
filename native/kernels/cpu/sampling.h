// Sampling of logits rows for one instruction set; kernels.h states the order of effects. The raw row is never changed: effects act on a copy.
#pragma once
#include <algorithm>
#include <cmath>
#include "../kernels.h"
#include "parallel.h"
#include "sampling_draw.h"
#include "sampling_effects.h"
#include "sampling_scan.h"

namespace lorikeet::LORIKEET_ISA {

// A row's logits, as many as there are tokens for it. Of an adapter that adds tokens a copy, with theirs behind the base's.
struct Logits {
  const float* values;
  int64_t vocab;
};

inline Logits logits_of(const SampleArgs& args, size_t r) {
  const float* base = args.logits + int64_t(r) * args.vocab;
  const int64_t wanted = args.rows[r].vocab;
  if (wanted <= args.vocab) return {base, wanted ? wanted : args.vocab};
  const int64_t vocab = std::min(wanted, args.vocab + args.added_vocab);
  float* all = scratch<float>(Scratch::row, size_t(vocab));
  std::copy(base, base + args.vocab, all);
  std::copy_n(args.added + int64_t(r) * args.added_vocab, vocab - args.vocab, all + args.vocab);
  return {all, vocab};
}

// In place of a token: the row is broken, or what is asked of it leaves no token.
constexpr int32_t kBroken = -1, kNoneLeft = -2;

// The row's token, or why it has none.
inline int32_t choose(const SamplingRow& row, int64_t vocab, const float* raw, const Largest& raw_largest) {
  if (row.target >= 0) return row.target < vocab ? row.target : kBroken;
  const float* x = raw;
  Largest best = raw_largest;
  if (changes_logits(row)) {
    float* changed = scratch<float>(Scratch::logits, size_t(vocab));
    std::copy(raw, raw + vocab, changed);
    apply_effects(row, vocab, changed);
    x = changed;
    best = largest(x, vocab);
  }
  if (best.broken || raw_largest.value == kNever) return kBroken;
  if (best.value == kNever) return kNoneLeft;
  return row.temperature < kLeastTemperature ? best.id : draw(row, x, vocab, best.value);
}

inline void sample_row(void* data, size_t r) {
  const auto& args = *static_cast<const SampleArgs*>(data);
  const SamplingRow& row = args.rows[r];
  const auto [raw, vocab] = logits_of(args, r);
  SamplingResult& result = args.results[r];
  result = {};
  if ((result.status = row.withheld)) return;
  const Largest best = largest(raw, vocab);
  const int32_t token = best.broken ? kBroken : choose(row, vocab, raw, best);
  if (token < 0) {
    result.status = token == kNoneLeft ? kNothingAllowed : 1;
    return;
  }
  result.token = token;
  if (row.logprobs < 0) return;
  const double log_total = std::log(exp_row(raw, vocab, best.value, 1, nullptr)) + best.value;
  const float logit = raw[token];
  result.logprob = float(logit - log_total);
  int32_t better = 0;
  for (int64_t i = 0; i < vocab; i++) better += raw[i] > logit;
  result.rank = better + 1;
  result.top_count = int32_t(std::min<int64_t>(row.logprobs, vocab));
  int32_t* top = args.top_tokens + args.top_offset[r];
  top_of(raw, vocab, result.top_count, top);
  for (int32_t i = 0; i < result.top_count; i++) args.top_logprobs[args.top_offset[r] + i] = float(raw[top[i]] - log_total);
}

inline void sample(const SampleArgs& args, const Parallel& parallel) {
  // A pass over a row is the least there is; most rows take a few.
  parallel_for(parallel, sample_row, size_t(args.row_count), const_cast<SampleArgs*>(&args), int64_t{args.row_count} * args.vocab);
}

}  // namespace lorikeet::LORIKEET_ISA
