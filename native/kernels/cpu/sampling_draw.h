// Drawing a token: temperature, min-p, top-k, top-p, and the inverse of the cumulative distribution in order of ids.
#pragma once
#include <algorithm>
#include <cmath>
#include "../kernels.h"
#include "../../numeric/uniform.h"
#include "sampling_scan.h"
#include "scratch_memory.h"

namespace lorikeet::LORIKEET_ISA {

// Up to here the k-th largest is found by a heap; beyond, by partitioning a copy.
constexpr int32_t kHeapLimit = 512;

// The place where the running sum of p first exceeds `target`; the last possible one if rounding keeps it below.
inline int64_t first_beyond(const float* p, int64_t n, double target) {
  double sum = 0;
  int64_t last = 0;
  for (int64_t i = 0; i < n; i++) {
    if (p[i] <= 0) continue;
    sum += p[i];
    last = i;
    if (sum > target) break;
  }
  return last;
}

// The whole vocabulary is in the draw: sums by chunk first, then only the chosen chunk's exponentials again.
inline int32_t draw_of_all(const float* x, int64_t vocab, float max, float scale, double u) {
  const int64_t chunks = (vocab + kChunk - 1) / kChunk;
  float* sums = scratch<float>(Scratch::queries, size_t(chunks + kChunk));
  double total = 0, sum = 0;
  for (int64_t c = 0; c < chunks; c++) total += sums[c] = exp_chunk(x + c * kChunk, std::min(kChunk, vocab - c * kChunk), max, scale, nullptr);
  const int64_t c = first_beyond(sums, chunks, u * total), n = std::min(kChunk, vocab - c * kChunk);
  for (int64_t i = 0; i < c; i++) sum += sums[i];
  exp_chunk(x + c * kChunk, n, max, scale, sums + chunks);
  return int32_t(c * kChunk + first_beyond(sums + chunks, n, u * total - sum));
}

// The least logit that min-p and top-k leave. Equals of the k-th stay, as in vLLM and transformers.
inline float floor_of(const SamplingRow& row, const float* x, int64_t vocab, float max) {
  float floor = kNever;
  if (row.min_p > 0) floor = max + row.temperature * std::log(row.min_p);
  if (row.top_k <= 0 || row.top_k >= vocab) return floor;
  float kth;
  if (row.top_k <= kHeapLimit) {
    int32_t* ids = scratch<int32_t>(Scratch::tasks, size_t(row.top_k));
    top_of(x, vocab, row.top_k, ids);
    kth = x[ids[row.top_k - 1]];
  } else {
    float* copy = scratch<float>(Scratch::lora, size_t(vocab));
    std::copy(x, x + vocab, copy);
    std::nth_element(copy, copy + row.top_k - 1, copy + vocab, Descending());
    kth = copy[row.top_k - 1];
  }
  return std::max(floor, kth);
}

// The fewest of p, largest first, whose sum reaches `share`, into `order` in ascending places; returns how many, at least one.
inline int64_t nucleus(const float* p, int64_t count, double total, double share, int32_t* order) {
  const auto mass = [&](int64_t from, int64_t to) {
    double sum = 0;
    for (int64_t i = from; i < to; i++) sum += p[order[i]];
    return sum;
  };
  // Those below `least` weigh less together than what may be left out, so they are never needed. Most of the mass lies far above it: look there first.
  const double least = 0.999 * (total - share) / double(count);
  int64_t found = 0;
  for (double floor = total / 64;; floor /= 16) {
    const bool all = floor <= least;
    found = at_least(p, count, std::max(float(all ? least : floor), std::numeric_limits<float>::min()), order);
    if (all || (found > 0 && mass(0, found) >= share)) break;
  }
  // Halve the range that holds the last one kept: no need to sort the rest.
  int64_t low = 0, high = found;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    std::nth_element(order + low, order + middle, order + high, ByValue{p});
    const double upper = mass(low, middle);
    if (upper >= share) {
      high = middle;
    } else {
      share -= upper;
      low = middle;
    }
  }
  const int32_t last = order[low];
  found = at_least(p, count, p[last], order);
  int64_t kept = 0;
  for (int64_t i = 0; i < found; i++)
    if (p[order[i]] > p[last] || order[i] <= last) order[kept++] = order[i];
  return kept;
}

// A token from `x`, whose largest value is `max`.
inline int32_t draw(const SamplingRow& row, const float* x, int64_t vocab, float max) {
  const float scale = 1 / row.temperature, floor = floor_of(row, x, vocab, max);
  const double u = uniform(row.seed, row.position);
  if (floor == kNever && row.top_p >= 1) return draw_of_all(x, vocab, max, scale, u);
  int32_t* ids = scratch<int32_t>(Scratch::tasks, size_t(2 * vocab));
  float* p = scratch<float>(Scratch::queries, size_t(vocab));
  int64_t count = vocab;
  if (floor > kNever) {
    count = at_least(x, vocab, floor, ids);
    for (int64_t i = 0; i < count; i++) p[i] = x[ids[i]];
  } else {
    for (int64_t i = 0; i < vocab; i++) ids[i] = int32_t(i);
    std::copy(x, x + vocab, p);
  }
  double total = exp_row(p, count, max, scale, p);
  if (row.top_p < 1) {
    int32_t* order = ids + vocab;
    count = nucleus(p, count, total, double(row.top_p) * total, order);
    for (int64_t i = 0; i < count; i++) {  // `order` ascends: nothing is overwritten before it is read
      ids[i] = ids[order[i]];
      p[i] = p[order[i]];
    }
  }
  total = 0;
  for (int64_t i = 0; i < count; i++) total += p[i];
  return ids[first_beyond(p, count, u * total)];
}

}  // namespace lorikeet::LORIKEET_ISA
