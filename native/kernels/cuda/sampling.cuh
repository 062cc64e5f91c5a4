// What the sampling kernels share: their one argument, keys that order logits, exponentials as the CPU computes them, and sums that have no order.
//
// A row is worked on in two views: `chosen`, its logits after effects, from which a token is taken, and `raw`, its logits as they came, from which
// logprobs are read. Each row is cut into spans of 2,048 logits, a block each, whatever the batch.
//
// Probabilities are summed as integers, in units of 2^-43 of the largest one's. Integers add up to the same in any order, so that atomics and any
// split over blocks are deterministic; kMaxSampleVocab of them cannot overflow 64 bits. What is lost is what a token weighs below 1.1e-13 of the largest.
#pragma once
#include "sampling.h"
// After the interface, which declares the stream's type.
#include "device.cuh"

namespace lorikeet::cuda {

constexpr int kSpan = 2048;
constexpr int kSpanThreads = 256;
constexpr int kPerThread = kSpan / kSpanThreads;
// Histogram of how far logits lie below the largest, in eighths of a unit of exponent; beyond 87.3 a probability is 0, so the last bin is the rest.
constexpr int kBins = 768;
constexpr float kLeastExponent = -87.3f;
constexpr int kIdBits = 20;  // of kMaxSampleVocab

enum View { kChosen = 0, kRaw = 1, kViews = 2 };

struct SampleWork {
  const void* logits;
  const SampleRow* rows;
  float* logits_out;
  int32_t vocab, spans, first_row;  // of the group that is being sampled
  SampleFeatures features;
  bool keep_raw;  // later kernels read the raw plane
  // Scratch, per row of the group. Everything is written before it is read.
  uint64_t* largest[kViews];      // [spans] see `place_key`
  uint64_t* masses[kViews];       // [spans]
  uint32_t* bin_counts[kViews];   // [kBins]
  uint64_t* bin_masses;      // [kBins] of the chosen view
  uint64_t* listed[kViews];       // [vocab] entries that survive a first, coarse cut, in any order; see `entry_of`
  uint32_t* listed_count[kViews];
  float* plane[kViews];           // [spans * kSpan]: float32 logits, −inf beyond the row's vocabulary; chosen only for rows with effects
  uint32_t* seen;            // [vocab], at the history's places
  uint64_t* sorted;          // [power of two ≥ features.top]
  // Results
  uint64_t* times;
  int32_t *tokens, *ranks, *statuses, *top_counts, *top_tokens, *also_tokens;
  float *logprobs, *top_logprobs;

  __device__ const SampleRow& row(int32_t r) const { return rows[first_row + r]; }
  __device__ bool draws(const SampleRow& row) const { return features.draw && row.scale > 0; }
  __device__ bool truncates(const SampleRow& row) const {
    return features.truncation && (row.top_k > 0 || row.top_p < 1 || row.min_p_offset > -INFINITY);
  }
  __device__ bool changes(const SampleRow& row) const {
    return features.effects && (row.history_count + row.bias_count + row.banned_count + row.bad_word_count > 0 || row.allowed);
  }
  __device__ bool reports(const SampleRow& row) const { return features.logprobs && row.logprobs >= 0; }
  __device__ int32_t tops(const SampleRow& row) const {
    const int32_t most = features.top < row.vocab ? features.top : row.vocab;
    return !reports(row) ? 0 : row.logprobs < most ? row.logprobs : most;
  }
  __device__ const float* logits_of(View view, const SampleRow& row, int32_t r) const {
    return plane[view == kChosen && changes(row) ? kChosen : kRaw] + static_cast<int64_t>(r) * spans * kSpan;
  }
};

__device__ inline bool knows(const SampleRow& row, int32_t token) { return token >= 0 && token < row.vocab; }

__device__ inline bool allows(const SampleRow& row, int32_t token) { return !row.allowed || (row.allowed[token >> 5] >> (token & 31) & 1); }

// Keys that order as floats do, −0 equal to 0.
__device__ inline uint32_t ordered(float x) {
  const uint32_t bits = as_bits(x + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ inline float value_of(uint32_t key) { return as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key); }

// A listed logit: ascending entries are descending logits, and of equal ones ascending ids.
__device__ inline uint64_t entry_of(float x, int32_t id) { return static_cast<uint64_t>(~ordered(x)) << 32 | static_cast<uint32_t>(id); }
__device__ inline float entry_value(uint64_t entry) { return value_of(~static_cast<uint32_t>(entry >> 32)); }

// For the largest of a span: the greatest key is the largest logit's, of equal ones the lowest id's; kBroken if one is NaN or +inf.
constexpr uint64_t kBroken = ~uint64_t{0};
__device__ inline uint64_t place_key(float x, int32_t id) {
  return x < INFINITY ? static_cast<uint64_t>(ordered(x)) << 32 | ~static_cast<uint32_t>(id) : kBroken;
}

struct Largest {
  float value = -INFINITY;
  int32_t id = 0;
  bool broken = false;
  __device__ bool usable() const { return !broken && value > -INFINITY; }
};

template <class F>
__device__ uint64_t over_warp(uint64_t v, F combine) {
  for (int step = 16; step > 0; step /= 2) v = combine(v, from_lane(v, static_cast<int>(threadIdx.x % 32) ^ step));
  return v;
}

__device__ inline uint64_t greater(uint64_t a, uint64_t b) { return a > b ? a : b; }
__device__ inline uint64_t plus(uint64_t a, uint64_t b) { return a + b; }

// Of a whole row, from its spans'; each warp for itself.
__device__ inline Largest largest_of(const SampleWork& work, View view, const SampleRow& row, int32_t r) {
  const uint64_t* from = work.largest[view == kChosen && work.changes(row) ? kChosen : kRaw] + static_cast<int64_t>(r) * work.spans;
  uint64_t key = 0;
  for (auto i = static_cast<int32_t>(threadIdx.x % 32); i < work.spans; i += 32) key = greater(key, from[i]);
  key = over_warp(key, greater);
  if (key == kBroken) return {0, 0, true};
  return {value_of(static_cast<uint32_t>(key >> 32)), static_cast<int32_t>(~static_cast<uint32_t>(key)), false};
}

// Over the block. Every thread gets it; `warps` has room for one item per warp.
template <int kThreads, class F>
__device__ uint64_t over_block(uint64_t v, uint64_t* warps, F combine) {
  v = over_warp(v, combine);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = v;
  __syncthreads();
  uint64_t all = warps[0];
  for (int w = 1; w < kThreads / 32; w++) all = combine(all, warps[w]);
  __syncthreads();
  return all;
}

// e^x for x ≤ 0, exactly 0 below −87.3: step by step what native/kernels/cpu/math.h does with fused multiplications, so that equals stay equals.
__device__ inline float exp_or_zero(float x) {
  if (!(x >= kLeastExponent)) return 0;
  const float n = rintf(product(x, 1.44269504f));
  float r = fused(n, -0.693359375f, x);
  r = fused(n, 2.12194440e-4f, r);
  float p = 1.0f / 720;
  p = fused(p, r, 1.0f / 120);
  p = fused(p, r, 1.0f / 24);
  p = fused(p, r, 1.0f / 6);
  p = fused(p, r, 0.5f);
  p = fused(p, r, 1.0f);
  p = fused(p, r, 1.0f);
  return product(p, as_float(static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23));
}

__device__ inline float exponent_of(float x, float max, float scale) { return product(x - max, scale); }
__device__ inline uint64_t mass_of(float p) { return static_cast<uint64_t>(product(p, 0x1p43f)); }
// Of log-probabilities in float64: what a sum of masses is.
__device__ inline double real_of(uint64_t mass) { return static_cast<double>(mass) * 0x1p-43; }

// The least mass that holds a share of the total; at least one token's.
__device__ inline uint64_t nucleus_goal(float top_p, uint64_t total) {
  const double share = ceil(static_cast<double>(top_p) * static_cast<double>(total));
  const uint64_t goal = share < 1 ? 1 : static_cast<uint64_t>(share);
  return goal < total ? goal : total;
}

__device__ inline int32_t bin_of(float exponent) {
  const float bin = product(exponent, -8.0f);
  return bin < kBins - 1 ? static_cast<int32_t>(bin) : kBins - 1;
}

// A 64-bit sum in shared memory from two 32-bit atomics, which the hardware has.
__device__ inline void add_wide(uint32_t* low, uint32_t* high, uint64_t v) {
  const auto part = static_cast<uint32_t>(v);
  const uint32_t before = atomic_add(low, part);
  const uint32_t above = static_cast<uint32_t>(v >> 32) + (before + part < before ? 1 : 0);
  if (above) atomic_add(high, above);
}
__device__ inline uint64_t wide(uint32_t low, uint32_t high) { return static_cast<uint64_t>(high) << 32 | low; }

// The thread's logits of a span of a plane, and the id of each in the row.
__device__ inline int32_t plane_at(int32_t span, int j) { return span * kSpan + j / 4 * (kSpan / 2) + static_cast<int32_t>(threadIdx.x) * 4 + j % 4; }
__device__ inline void read_plane(float (&v)[kPerThread], const float* plane, int32_t span) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const Words words = load(plane + plane_at(span, 4 * half));
#pragma unroll
    for (int i = 0; i < 4; i++) v[4 * half + i] = as_float(words.w[i]);
  }
}

// The first of the block's consecutive sums at which the running sum, from `before`, reaches the goal. Thread t holds kItems of them, in order.
struct Found {
  uint32_t at;
  uint64_t before;  // the running sum without it
};
struct FindMemory {
  uint64_t warps[32];
  Found found;
};

template <int kThreads, int kItems>
__device__ Found find(const uint64_t (&sums)[kItems], uint64_t before, uint64_t goal, FindMemory& memory) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  uint64_t mine = 0;
  for (int i = 0; i < kItems; i++) mine += sums[i];
  uint64_t upto = mine;  // of the warp's threads up to this one
  for (int step = 1; step < 32; step *= 2) {
    const uint64_t other = from_lane(upto, (lane - step) & 31);
    if (lane >= step) upto += other;
  }
  if (lane == 31) memory.warps[warp] = upto;
  if (threadIdx.x == 0) memory.found = {kThreads * kItems - 1, before};
  __syncthreads();
  for (int w = 0; w < warp; w++) before += memory.warps[w];
  before += upto - mine;
#pragma unroll
  for (int i = 0; i < kItems; i++) {
    if (before < goal && goal <= before + sums[i]) memory.found = {static_cast<uint32_t>(threadIdx.x * kItems + i), before};
    before += sums[i];
  }
  __syncthreads();
  const Found found = memory.found;
  __syncthreads();
  return found;
}

// The kernels of one group in the order of their launch; each returns a cudaError_t. sampling.cu says which are needed when.
int survey(const SampleWork& work, int32_t rows, DType dtype, CUstream_st* stream);
int apply_effects(const SampleWork& work, int32_t rows, CUstream_st* stream);
int survey_changed(const SampleWork& work, int32_t rows, CUstream_st* stream);
int weigh(const SampleWork& work, int32_t rows, CUstream_st* stream);
int list_candidates(const SampleWork& work, int32_t rows, CUstream_st* stream);
int pick(const SampleWork& work, int32_t rows, CUstream_st* stream);
int count_better(const SampleWork& work, int32_t rows, CUstream_st* stream);

}  // namespace lorikeet::cuda
