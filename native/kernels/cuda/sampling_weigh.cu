// Between the largest logit and the choice: how much each span weighs, and for rows that want only some of their logits (top-k, top-p, the n largest)
// a histogram of distances from the largest, by which a second pass lists the few candidates that can matter.
#include "sampling.cuh"

namespace lorikeet::cuda {
namespace {

constexpr int kListSpans = 4;  // spans that one block looks through for candidates: reading the histogram is worth some of them
constexpr int kBinsPerThread = kBins / kSpanThreads;

struct Histogram {
  uint32_t count[kBins], low[kBins], high[kBins];

  __device__ void clear() {
    for (auto bin = static_cast<int32_t>(threadIdx.x); bin < kBins; bin += kSpanThreads) count[bin] = low[bin] = high[bin] = 0;
    __syncthreads();
  }
  // Adds it to the row's.
  __device__ void flush(uint32_t* counts, uint64_t* masses) {
    __syncthreads();
    for (auto bin = static_cast<int32_t>(threadIdx.x); bin < kBins; bin += kSpanThreads) {
      if (count[bin] == 0) continue;
      atomic_add(counts + bin, count[bin]);
      if (masses) atomic_add(masses + bin, wide(low[bin], high[bin]));
    }
    __syncthreads();
  }
};

__global__ void __launch_bounds__(kSpanThreads) weigh_spans(const __grid_constant__ SampleWork work) {
  __shared__ Histogram histogram;
  __shared__ uint64_t warps[kSpanThreads / 32];
  const auto r = static_cast<int32_t>(blockIdx.x) / work.spans, span = static_cast<int32_t>(blockIdx.x) % work.spans;
  const SampleRow& row = work.row(r);
  if (row.vocab == 0) return;
  for (int which = 0; which < kViews; which++) {
    const auto view = static_cast<View>(which);
    if (view == kChosen ? !work.draws(row) : !work.reports(row)) continue;
    const Largest largest = largest_of(work, view, row, r);
    if (largest.broken) continue;
    const bool binned = view == kChosen ? work.truncates(row) : work.tops(row) > 0;
    const float scale = view == kChosen ? row.scale : 1;
    float v[kPerThread];
    read_plane(v, work.logits_of(view, row, r), span);
    if (binned) histogram.clear();
    uint64_t sum = 0;
#pragma unroll
    for (int j = 0; j < kPerThread; j++) {
      const float exponent = exponent_of(v[j], largest.value, scale), p = exp_or_zero(exponent);
      const uint64_t mass = mass_of(p);
      sum += mass;
      // A token that weighs nothing is not drawn, but it may be among the n largest. (What lies beyond the vocabulary only fills the last bin.)
      if (!binned || (view == kChosen && p == 0)) continue;
      const int32_t bin = bin_of(exponent);
      atomic_add(&histogram.count[bin], 1u);
      if (view == kChosen) add_wide(&histogram.low[bin], &histogram.high[bin], mass);
    }
    const int64_t bins = static_cast<int64_t>(r) * kBins;
    if (binned) histogram.flush(work.bin_counts[view] + bins, view == kChosen ? work.bin_masses + bins : nullptr);
    sum = over_block<kSpanThreads>(sum, warps, plus);
    if (threadIdx.x == 0) work.masses[view][static_cast<int64_t>(r) * work.spans + span] = sum;
  }
}

// The last bin that may hold a candidate.
__device__ uint32_t last_bin(const SampleWork& work, View view, const SampleRow& row, int32_t r, FindMemory& memory) {
  const bool by_mass = view == kChosen && row.top_k == 0;
  if (by_mass && row.min_p_offset > -INFINITY) return kBins - 1;  // min-p cuts exactly, without bins
  uint64_t sums[kBinsPerThread], total = 0;
#pragma unroll
  for (int i = 0; i < kBinsPerThread; i++) {
    const int64_t bin = static_cast<int64_t>(r) * kBins + static_cast<int32_t>(threadIdx.x) * kBinsPerThread + i;
    sums[i] = by_mass ? work.bin_masses[bin] : work.bin_counts[view][bin];
    total += sums[i];
  }
  total = over_block<kSpanThreads>(total, memory.warps, plus);
  const uint64_t goal = by_mass ? nucleus_goal(row.top_p, total) : static_cast<uint64_t>(view == kRaw ? work.tops(row) : row.top_k);
  if (goal > total) return kBins - 1;  // fewer than k weigh anything
  // One bin more for the nucleus, which is in order of probabilities: rounding may turn those of two logits around.
  return find<kSpanThreads>(sums, 0, goal, memory).at + (by_mass ? 1 : 0);
}

__global__ void __launch_bounds__(kSpanThreads) list_spans(const __grid_constant__ SampleWork work) {
  __shared__ FindMemory memory;
  const int32_t blocks = (work.spans + kListSpans - 1) / kListSpans;
  const auto r = static_cast<int32_t>(blockIdx.x) / blocks, first = static_cast<int32_t>(blockIdx.x) % blocks * kListSpans;
  const SampleRow& row = work.row(r);
  if (row.vocab == 0) return;
  for (int which = 0; which < kViews; which++) {
    const auto view = static_cast<View>(which);
    if (view == kChosen ? !work.draws(row) || !work.truncates(row) : work.tops(row) == 0) continue;
    const Largest largest = largest_of(work, view, row, r);
    if (largest.broken || (view == kChosen && !largest.usable())) continue;
    const auto last = static_cast<int32_t>(last_bin(work, view, row, r, memory));
    const float scale = view == kChosen ? row.scale : 1, floor = view == kChosen ? largest.value + row.min_p_offset : -INFINITY;
    const float* plane = work.logits_of(view, row, r);
    uint64_t* list = work.listed[view] + static_cast<int64_t>(r) * work.vocab;
    for (int32_t span = first; span < work.spans && span < first + kListSpans; span++) {
      float v[kPerThread];
      read_plane(v, plane, span);
      uint32_t mine = 0;  // a bit for each that is listed
#pragma unroll
      for (int j = 0; j < kPerThread; j++) {
        const float exponent = exponent_of(v[j], largest.value, scale);
        const bool wanted = view == kRaw ? plane_at(span, j) < row.vocab : v[j] >= floor && exponent >= kLeastExponent;
        if (wanted && bin_of(exponent) <= last) mine |= 1u << j;
      }
      if (mine == 0) continue;
      uint32_t count = 0;
#pragma unroll
      for (int j = 0; j < kPerThread; j++) count += mine >> j & 1;
      uint64_t* to = list + atomic_add(work.listed_count[view] + r, count);
#pragma unroll
      for (int j = 0; j < kPerThread; j++)
        if (mine >> j & 1) *to++ = entry_of(v[j], plane_at(span, j));
    }
  }
}

}  // namespace

int weigh(const SampleWork& work, int32_t rows, CUstream_st* stream) {
  return launch_kernel(weigh_spans, Grid{static_cast<uint32_t>(rows * work.spans), kSpanThreads, false, stream}, work);
}

int list_candidates(const SampleWork& work, int32_t rows, CUstream_st* stream) {
  const int32_t blocks = (work.spans + kListSpans - 1) / kListSpans;
  return launch_kernel(list_spans, Grid{static_cast<uint32_t>(rows * blocks), kSpanThreads, false, stream}, work);
}

}  // namespace lorikeet::cuda
