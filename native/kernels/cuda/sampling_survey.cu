// The first pass over the logits: each span's largest, and the float32 plane that later kernels read. The only pass that greedy rows need.
// Then what a row asks of its logits before sampling (bias, bans, allowed tokens, penalties), on a plane of its own, and that plane's largest.
#include "../bad_words.h"
#include "sampling.cuh"

namespace lorikeet::cuda {
namespace {

constexpr int kEffectThreads = 1024;

struct F32 {};
template <class E>
constexpr bool kHalf = true;
template <>
constexpr bool kHalf<F32> = false;

// Where the thread's j-th logit of a span lies. Aligned rows are read 16 bytes at a time, others element by element, each warp in consecutive places.
template <class E, bool kAligned>
__device__ int32_t logit_at(int32_t span, int j) {
  if (!kAligned) return span * kSpan + j * kSpanThreads + static_cast<int32_t>(threadIdx.x);
  return kHalf<E> ? span * kSpan + static_cast<int32_t>(threadIdx.x) * 8 + j : plane_at(span, j);
}

// −inf beyond the vocabulary.
template <class E, bool kAligned>
__device__ void read_logits(float (&v)[kPerThread], const SampleWork& work, int64_t row, int32_t span) {
  if constexpr (kAligned && kHalf<E>) {
    const int32_t at = logit_at<E, true>(span, 0);
    const bool inside = at < work.vocab;
    Words words = {};
    if (inside) words = load(static_cast<const uint16_t*>(work.logits) + row * work.vocab + at);
#pragma unroll
    for (int j = 0; j < kPerThread; j++) v[j] = inside ? E::decode(static_cast<uint16_t>(words.w[j / 2] >> (16 * (j % 2)))) : -INFINITY;
  } else if constexpr (kAligned) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int32_t at = logit_at<E, true>(span, 4 * half);
      const bool inside = at < work.vocab;
      Words words = {};
      if (inside) words = load(static_cast<const float*>(work.logits) + row * work.vocab + at);
#pragma unroll
      for (int i = 0; i < 4; i++) v[4 * half + i] = inside ? as_float(words.w[i]) : -INFINITY;
    }
  } else {
#pragma unroll
    for (int j = 0; j < kPerThread; j++) {
      const int32_t at = logit_at<E, false>(span, j);
      v[j] = -INFINITY;
      if (at >= work.vocab) continue;
      if constexpr (kHalf<E>) v[j] = E::decode(static_cast<const uint16_t*>(work.logits)[row * work.vocab + at]);
      else v[j] = static_cast<const float*>(work.logits)[row * work.vocab + at];
    }
  }
}

template <class E, bool kAligned>
__device__ void write_plane(float* plane, const float (&v)[kPerThread], int32_t span) {
  if constexpr (kAligned) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      Words words;
#pragma unroll
      for (int i = 0; i < 4; i++) words.w[i] = as_bits(v[4 * half + i]);
      store(plane + logit_at<E, true>(span, 4 * half), words);
    }
  } else {
#pragma unroll
    for (int j = 0; j < kPerThread; j++) plane[logit_at<E, false>(span, j)] = v[j];
  }
}

// What later kernels of the step add to: the histograms and list lengths of the row.
__device__ void clear(const SampleWork& work, int32_t r) {
  for (int v = 0; v < kViews; v++) {
    const auto view = static_cast<View>(v);
    if (view == kChosen ? !work.features.truncation : work.features.top == 0) continue;
    const int64_t bins = static_cast<int64_t>(r) * kBins;
    for (auto bin = static_cast<int32_t>(threadIdx.x); bin < kBins; bin += kSpanThreads) {
      work.bin_counts[view][bins + bin] = 0;
      if (view == kChosen) work.bin_masses[bins + bin] = 0;
    }
    if (threadIdx.x == 0) work.listed_count[view][r] = 0;
  }
}

// The span's largest, from every thread's own.
__device__ void write_largest(uint64_t* to, uint64_t key) {
  __shared__ uint64_t warps[kSpanThreads / 32];
  key = over_block<kSpanThreads>(key, warps, greater);
  if (threadIdx.x == 0) *to = key;
}

template <class E, bool kAligned>
__global__ void __launch_bounds__(kSpanThreads) survey_logits(const __grid_constant__ SampleWork work) {
  const auto r = static_cast<int32_t>(blockIdx.x) / work.spans, span = static_cast<int32_t>(blockIdx.x) % work.spans;
  const SampleRow& row = work.row(r);
  if (blockIdx.x == 0 && work.first_row == 0 && threadIdx.x == 0) work.times[0] = work.times[1] = clock_ns();
  if (row.vocab == 0) return;
  const int64_t global_row = work.first_row + r;
  float v[kPerThread];
  read_logits<E, kAligned>(v, work, global_row, span);
  if (span == 0) clear(work, r);
  uint64_t key = 0;
#pragma unroll
  for (int j = 0; j < kPerThread; j++) {
    const int32_t id = logit_at<E, kAligned>(span, j);
    if (id >= row.vocab) v[j] = -INFINITY;
    key = greater(key, place_key(v[j], id));
    if (work.logits_out && id < work.vocab) work.logits_out[global_row * work.vocab + id] = v[j];
  }
  write_largest(work.largest[kRaw] + static_cast<int64_t>(r) * work.spans + span, key);
  const int64_t plane = static_cast<int64_t>(r) * work.spans * kSpan;
  if (work.keep_raw) write_plane<E, kAligned>(work.plane[kRaw] + plane, v, span);
  if (!work.changes(row)) return;
  if (row.allowed) {
#pragma unroll
    for (int j = 0; j < kPerThread; j++) {
      const int32_t id = logit_at<E, kAligned>(span, j);
      if (id < work.vocab && !allows(row, id)) v[j] = -INFINITY;
    }
  }
  write_plane<E, kAligned>(work.plane[kChosen] + plane, v, span);
  const int32_t* history = row.history;
  uint32_t* seen = work.seen + static_cast<int64_t>(r) * work.vocab;
  for (int32_t i = span * kSpanThreads + static_cast<int32_t>(threadIdx.x); i < row.history_count; i += work.spans * kSpanThreads)
    if (knows(row, history[i])) seen[history[i]] = 0;
}

// A block per row. The lists are short beside the vocabulary: walked, not scanned.
__global__ void __launch_bounds__(kEffectThreads) change_logits(const __grid_constant__ SampleWork work) {
  const auto r = static_cast<int32_t>(blockIdx.x), thread = static_cast<int32_t>(threadIdx.x);
  const SampleRow& row = work.row(r);
  if (row.vocab == 0 || !work.changes(row)) return;
  const int64_t plane = static_cast<int64_t>(r) * work.spans * kSpan;
  float* x = work.plane[kChosen] + plane;
  // One token's biases are neighbours: its first thread adds them all, in order.
  const int32_t* tokens = row.bias_tokens;
  for (int32_t i = thread; i < row.bias_count; i += kEffectThreads) {
    const int32_t token = tokens[i];
    if (!knows(row, token) || (i > 0 && tokens[i - 1] == token)) continue;
    if (!allows(row, token)) continue;  // not even +inf brings it back
    float logit = x[token];
    for (int32_t next = i; next < row.bias_count && tokens[next] == token; next++) logit += row.bias_values[next];
    x[token] = logit;
  }
  __syncthreads();
  for (int32_t i = thread; i < row.banned_count; i += kEffectThreads)
    if (knows(row, row.banned[i])) x[row.banned[i]] = -INFINITY;
  for (int32_t i = thread; i < row.bad_word_count; i += kEffectThreads)
    if (const int32_t token = forbidden_by(row.bad_words, i, row.history + row.prompt_length, row.written); knows(row, token)) x[token] = -INFINITY;
  // How often each token stands in the output, and a mark that it stands in the history at all.
  constexpr uint32_t kMark = 0x80000000u;
  const int32_t* history = row.history;
  uint32_t* seen = work.seen + static_cast<int64_t>(r) * work.vocab;
  for (int32_t i = thread; i < row.history_count; i += kEffectThreads) {
    if (!knows(row, history[i])) continue;
    atomic_or(seen + history[i], kMark);
    if (i >= row.prompt_length) atomic_add(seen + history[i], 1u);
  }
  __syncthreads();  // for the counts, and for the biases and bans before them
  for (int32_t i = thread; i < row.history_count; i += kEffectThreads) {
    const int32_t token = history[i];
    if (!knows(row, token)) continue;
    const uint32_t found = atomic_exchange(seen + token, 0);
    if (found == 0) continue;  // another place of the token was quicker
    const uint32_t count = found & ~kMark;
    float logit = x[token];
    if (row.repetition != 1) logit = logit > 0 ? logit / row.repetition : product(logit, row.repetition);
    logit -= product(row.frequency, static_cast<float>(count));
    if (count > 0) logit -= row.presence;
    x[token] = logit;
  }
}

__global__ void __launch_bounds__(kSpanThreads) survey_plane(const __grid_constant__ SampleWork work) {
  const auto r = static_cast<int32_t>(blockIdx.x) / work.spans, span = static_cast<int32_t>(blockIdx.x) % work.spans;
  const SampleRow& row = work.row(r);
  if (row.vocab == 0 || !work.changes(row)) return;
  float v[kPerThread];
  read_plane(v, work.logits_of(kChosen, row, r), span);
  uint64_t key = 0;
#pragma unroll
  for (int j = 0; j < kPerThread; j++) key = greater(key, place_key(v[j], plane_at(span, j)));
  write_largest(work.largest[kChosen] + static_cast<int64_t>(r) * work.spans + span, key);
}

template <class E>
int launch_survey(const SampleWork& work, int32_t rows, CUstream_st* stream) {
  const bool aligned = work.vocab % (kHalf<E> ? 8 : 4) == 0;
  return launch_kernel(aligned ? survey_logits<E, true> : survey_logits<E, false>,
                       Grid{static_cast<uint32_t>(rows * work.spans), kSpanThreads, false, stream}, work);
}

}  // namespace

int survey(const SampleWork& work, int32_t rows, DType dtype, CUstream_st* stream) {
  switch (dtype) {
    case DType::f16: return launch_survey<F16>(work, rows, stream);
    case DType::bf16: return launch_survey<BF16>(work, rows, stream);
    default: return launch_survey<F32>(work, rows, stream);
  }
}

int apply_effects(const SampleWork& work, int32_t rows, CUstream_st* stream) {
  return launch_kernel(change_logits, Grid{static_cast<uint32_t>(rows), kEffectThreads, false, stream}, work);
}

int survey_changed(const SampleWork& work, int32_t rows, CUstream_st* stream) {
  return launch_kernel(survey_plane, Grid{static_cast<uint32_t>(rows * work.spans), kSpanThreads, false, stream}, work);
}

}  // namespace lorikeet::cuda
