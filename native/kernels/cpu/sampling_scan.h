// Passes over a row of logits or probabilities: the largest, the n largest, those above a floor, exponentials. They run at the speed of the cache.
#pragma once
#include <algorithm>
#include <limits>
#include "../kernels.h"
#include "math.h"

namespace lorikeet::LORIKEET_ISA {

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr int64_t kChunk = 4096;  // floats that are looked at, or summed in float, before a wider step

struct Largest {
  float value = kNever;
  int32_t id = 0;       // the first with that value
  bool broken = false;  // a NaN or +inf is among them
};

inline Largest largest(const float* x, int64_t n) {
  const Vec infinity = Vec::set(std::numeric_limits<float>::infinity());
  Largest best;
  int64_t where = 0;
  for (int64_t begin = 0; begin < n && !best.broken; begin += kChunk) {
    const int64_t end = std::min(n, begin + kChunk);
    Vec most = Vec::set(kNever);
    int64_t i = begin;
    for (; i + Vec::N <= end; i += Vec::N) {
      const Vec v = Vec::load(x + i);
      if (!Vec::all_below(v, infinity)) best.broken = true;
      most = Vec::max(most, v);
    }
    float m = most.hmax();
    for (; i < end; i++) {
      if (!(x[i] < std::numeric_limits<float>::infinity())) best.broken = true;
      m = x[i] > m ? x[i] : m;
    }
    if (m > best.value) {
      best.value = m;
      where = begin;
    }
  }
  while (!best.broken && best.value > kNever && x[where] != best.value) where++;
  best.id = int32_t(where);
  return best;
}

// e^x, and exactly 0 below −87.3: what is banned (−inf) is never drawn.
inline Vec exp_or_zero(Vec x) { return Vec::if_below(x, Vec::set(-87.3f), Vec::set(0), exp(x)); }

// to[i] = exp((x[i] − max) · scale) for i < n ≤ kChunk; returns the sum. to may be null (the sum alone).
inline float exp_chunk(const float* x, int64_t n, float max, float scale, float* to) {
  const Vec shift = Vec::set(max), factor = Vec::set(scale);
  Vec sum = Vec::set(0);
  int64_t i = 0;
  for (; i + Vec::N <= n; i += Vec::N) {
    const Vec p = exp_or_zero((Vec::load(x + i) - shift) * factor);
    if (to) p.store(to + i);
    sum = sum + p;
  }
  float total = sum.sum();
  for (; i < n; i++) {
    float p[Vec::N];
    exp_or_zero(Vec::set((x[i] - max) * scale)).store(p);
    if (to) to[i] = p[0];
    total += p[0];
  }
  return total;
}

inline double exp_row(const float* x, int64_t n, float max, float scale, float* to) {
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kChunk) total += exp_chunk(x + begin, std::min(kChunk, n - begin), max, scale, to ? to + begin : nullptr);
  return total;
}

// Largest first; equal ones by id.
struct ByValue {
  const float* x;
  bool operator()(int32_t a, int32_t b) const { return x[a] != x[b] ? x[a] > x[b] : a < b; }
};

// This namespace's own, like ByValue: with a std:: comparison the instruction sets' objects would hold algorithms of one name, of which the linker keeps any.
struct Descending {
  bool operator()(float a, float b) const { return a > b; }
};
// The `n` largest of x, best first. n may be 0, with nowhere to write.
inline void top_of(const float* x, int64_t count, int32_t n, int32_t* ids) {
  if (n == 0) return;
  const ByValue better{x};
  int32_t held = 0;
  for (int32_t i = 0; i < count; i++) {
    if (held < n) {
      ids[held++] = i;
      std::push_heap(ids, ids + held, better);  // the heap's front is the worst of those held
      continue;
    }
    const Vec worst = Vec::set(x[ids[0]]);
    while (i + Vec::N <= count && Vec::all_below(Vec::load(x + i), worst)) i += Vec::N;
    if (i < count && better(i, ids[0])) {
      std::pop_heap(ids, ids + held, better);
      ids[held - 1] = i;
      std::push_heap(ids, ids + held, better);
    }
  }
  std::sort_heap(ids, ids + held, better);
}

// Ids of all x[i] ≥ floor, ascending; returns how many. ids has room for `count`.
inline int64_t at_least(const float* x, int64_t count, float floor, int32_t* ids) {
  const Vec least = Vec::set(floor);
  int64_t found = 0;
  for (int64_t i = 0; i < count; i++) {
    while (i + Vec::N <= count && Vec::all_below(Vec::load(x + i), least)) i += Vec::N;
    if (i < count && x[i] >= floor) ids[found++] = int32_t(i);
  }
  return found;
}

}  // namespace lorikeet::LORIKEET_ISA
