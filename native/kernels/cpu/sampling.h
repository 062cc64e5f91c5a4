// Sampling of logits rows for one instruction set; kernels.h states the order of effects. The raw row is never changed: effects act on a copy.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include "../kernels.h"
#include "math.h"
#include "scratch.h"

namespace lorikeet::LORIKEET_ISA {

constexpr float kNever = -std::numeric_limits<float>::infinity();

inline float largest(const float* x, int64_t n) {
  Vec most = Vec::set(kNever);
  int64_t i = 0;
  for (; i + Vec::N <= n; i += Vec::N) most = Vec::max(most, Vec::load(x + i));
  float m = most.hmax();
  for (; i < n; i++) m = x[i] > m ? x[i] : m;
  return m;
}

inline bool has_nan_or_infinity(const float* x, int64_t n) {
  int bad = 0;
  for (int64_t i = 0; i < n; i++) bad |= !(x[i] < std::numeric_limits<float>::infinity());
  return bad != 0;
}

// to[i] = exp((x[i] − max) · scale), exactly 0 where x[i] is −inf; returns the sum. to may be null (the sum alone).
inline double exp_row(const float* x, int64_t n, float max, float scale, float* to) {
  constexpr int64_t kChunk = 4096;  // floats that are summed in float before a double takes over
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kChunk) {
    const int64_t end = std::min(n, begin + kChunk);
    Vec sum = Vec::set(0);
    int64_t i = begin;
    for (; i + Vec::N <= end; i += Vec::N) {
      const Vec p = exp((Vec::load(x + i) - Vec::set(max)) * Vec::set(scale));
      if (to) p.store(to + i);
      sum = sum + p;
    }
    float part = sum.sum();
    for (; i < end; i++) {
      const float p = exp_one((x[i] - max) * scale);
      if (to) to[i] = p;
      part += p;
    }
    total += part;
  }
  if (to)
    for (int64_t i = 0; i < n; i++) to[i] = x[i] == kNever ? 0 : to[i];
  return total;
}

// Largest first; equal ones by id.
struct ByLogit {
  const float* x;
  bool operator()(int32_t a, int32_t b) const { return x[a] != x[b] ? x[a] > x[b] : a < b; }
};

// Comparisons of this namespace's own: a std:: one would give the instruction sets' objects algorithms of one name, of which the linker keeps any.
struct Descending {
  bool operator()(float a, float b) const { return a > b; }
};
struct Ascending {
  bool operator()(int32_t a, int32_t b) const { return a < b; }
};

// The `n` largest of x, best first. n may be 0, with nowhere to write.
inline void top_of(const float* x, int64_t vocab, int32_t n, int32_t* ids) {
  if (n == 0) return;
  const ByLogit better{x};
  int32_t held = 0;
  for (int32_t i = 0; i < vocab; i++) {
    if (held < n) {
      ids[held++] = i;
      std::push_heap(ids, ids + held, better);  // the heap's front is the worst of those held
    } else if (better(i, ids[0])) {
      std::pop_heap(ids, ids + held, better);
      ids[held - 1] = i;
      std::push_heap(ids, ids + held, better);
    }
  }
  std::sort_heap(ids, ids + held, better);
}

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

// Uniform in [0, 1) from (seed, position) alone: two rounds of SplitMix64's finaliser (Steele, Lea, Flood 2014).
inline double uniform(uint64_t seed, int32_t position) {
  const auto mixed = [](uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  };
  const uint64_t z = mixed(mixed(seed + 0x9e3779b97f4a7c15ull) + 0x9e3779b97f4a7c15ull * (uint64_t(uint32_t(position)) + 1));
  return double(z >> 11) * 0x1p-53;
}

// Bans what min-p, top-k and top-p exclude (probability 0) and returns what is left of the mass. p: unnormalised, its largest is 1.
inline double truncate(const SamplingRow& row, int64_t vocab, float* p, double total) {
  float floor = row.min_p > 0 ? row.min_p : 0;
  if (row.top_k > 0 && row.top_k < vocab) {
    float* sorted = scratch<float>(Scratch::lora, size_t(vocab));
    std::copy(p, p + vocab, sorted);
    std::nth_element(sorted, sorted + row.top_k - 1, sorted + vocab, Descending());
    floor = std::max(floor, sorted[row.top_k - 1]);  // ties with the k-th stay, as in vLLM and transformers
  }
  if (floor > 0) {
    total = 0;
    for (int64_t i = 0; i < vocab; i++) {
      p[i] = p[i] >= floor ? p[i] : 0;
      total += p[i];
    }
  }
  if (row.top_p >= 1) return total;
  // Tokens below (1 − top_p) · total / vocab weigh less than 1 − top_p together, so the nucleus lies among the others.
  const double least = (1 - double(row.top_p)) * total / double(vocab);
  int32_t* ids = scratch<int32_t>(Scratch::tasks, size_t(vocab));
  int64_t count = 0;
  for (int32_t i = 0; i < vocab; i++)
    if (p[i] > 0 && p[i] >= least) ids[count++] = i;
  std::sort(ids, ids + count, ByLogit{p});
  double kept = 0;
  int64_t n = 0;
  while (n < count && (n == 0 || kept < row.top_p * total)) kept += p[ids[n++]];
  std::sort(ids, ids + n, Ascending());
  float* nucleus = scratch<float>(Scratch::lora, size_t(n));
  for (int64_t i = 0; i < n; i++) nucleus[i] = p[ids[i]];
  std::fill(p, p + vocab, 0.0f);
  for (int64_t i = 0; i < n; i++) p[ids[i]] = nucleus[i];
  return kept;
}

// The chosen token, or −1 when everything is banned. x may be overwritten when `copy` is x.
inline int32_t choose(const SamplingRow& row, int64_t vocab, const float* x, float* probabilities) {
  const float max = largest(x, vocab);
  if (max == kNever) return -1;
  if (row.temperature <= 0) return int32_t(std::find(x, x + vocab, max) - x);
  double total = exp_row(x, vocab, max, 1 / row.temperature, probabilities);
  total = truncate(row, vocab, probabilities, total);
  // Inverse of the cumulative distribution in order of ids.
  const double target = uniform(row.seed, row.position) * total;
  double sum = 0;
  int32_t last = -1;
  for (int32_t i = 0; i < vocab; i++) {
    if (probabilities[i] <= 0) continue;
    sum += probabilities[i];
    last = i;
    if (sum > target) return i;
  }
  return last;  // the sum's rounding fell short of the total
}

inline void sample_row(void* data, size_t r) {
  const auto& args = *static_cast<const SampleArgs*>(data);
  const SamplingRow& row = args.rows[r];
  const float* raw = args.logits + int64_t(r) * args.vocab;
  SamplingResult& result = args.results[r];
  result = {};
  if (has_nan_or_infinity(raw, args.vocab)) {
    result.status = 1;
    return;
  }
  if (row.target >= 0) {
    result.token = row.target;
  } else {
    const float* x = raw;
    float* work = row.temperature > 0 || changes_logits(row) ? scratch<float>(Scratch::queries, size_t(2 * args.vocab)) : nullptr;
    if (changes_logits(row)) {
      std::copy(raw, raw + args.vocab, work);
      apply_effects(row, args.vocab, work);
      x = work;
    }
    result.token = choose(row, args.vocab, x, work ? work + args.vocab : nullptr);
    if (result.token < 0) {
      result.status = 1;
      return;
    }
  }
  if (row.logprobs < 0) return;
  const float max = largest(raw, args.vocab);
  const double log_total = std::log(exp_row(raw, args.vocab, max, 1, nullptr)) + max;
  const float logit = raw[result.token];
  result.logprob = float(logit - log_total);
  int32_t better = 0;
  for (int64_t i = 0; i < args.vocab; i++) better += raw[i] > logit;
  result.rank = better + 1;
  result.top_count = int32_t(std::min<int64_t>(row.logprobs, args.vocab));
  int32_t* top = args.top_tokens + args.top_offset[r];
  top_of(raw, args.vocab, result.top_count, top);
  for (int32_t i = 0; i < result.top_count; i++) args.top_logprobs[args.top_offset[r] + i] = float(raw[top[i]] - log_total);
}

inline void sample(const SampleArgs& args, const Parallel& parallel) {
  parallel_for(parallel, sample_row, size_t(args.row_count), const_cast<SampleArgs*>(&args));
}

}  // namespace lorikeet::LORIKEET_ISA
