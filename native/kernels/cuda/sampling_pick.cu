// The choice: one block takes a row's token, another its n largest; then the token's rank by a last pass over the raw logits.
#include "sampling_select.cuh"

namespace lorikeet::cuda {
namespace {

constexpr int32_t kSharedSort = 1024;  // as many are sorted in shared memory; more in scratch

// The first value at which the running mass exceeds the uniform number's share of the total.
__device__ uint64_t draw_goal(double uniform, uint64_t total) {
  const auto share = static_cast<uint64_t>(uniform * static_cast<double>(total));
  return share < total ? share + 1 : total;
}

// From the whole vocabulary: the span first, then the token in it.
__device__ int32_t draw_of_all(const SampleWork& work, const SampleRow& row, int32_t r, float max, SelectMemory& memory) {
  const uint64_t* spans = work.masses[kChosen] + static_cast<int64_t>(r) * work.spans;
  uint64_t total = 0;
  for (auto i = static_cast<int32_t>(threadIdx.x); i < work.spans; i += kSelectThreads) total += spans[i];
  const uint64_t goal = draw_goal(row.uniform, over_block<kSelectThreads>(total, memory.find.warps, plus));
  const Selected span = select(memory, work.spans, kDigitBits, goal, [&](int32_t i) { return Item{static_cast<uint32_t>(i), spans[i]}; });
  const float* x = work.logits_of(kChosen, row, r) + static_cast<int64_t>(span.key) * kSpan;
  const Selected token = select(memory, kSpan, kDigitBits, goal - span.before, [&](int32_t i) {
    return Item{static_cast<uint32_t>(i), mass_of(exp_or_zero(exponent_of(x[i], max, row.scale)))};
  });
  return static_cast<int32_t>(span.key) * kSpan + static_cast<int32_t>(token.key);
}

// From what top-k, top-p and min-p leave of the listed candidates.
__device__ int32_t draw_of_listed(const SampleWork& work, const SampleRow& row, int32_t r, float max, SelectMemory& memory) {
  const auto count = static_cast<int32_t>(work.listed_count[kChosen][r]);
  const uint64_t* list = work.listed[kChosen] + static_cast<int64_t>(r) * work.vocab;
  const auto p_of = [&](uint64_t entry) { return exp_or_zero(exponent_of(entry_value(entry), max, row.scale)); };
  uint32_t kth = ~0u;  // the last that stays, in the entries' order; its equals stay too
  const auto by_value = [&](int32_t i) { return Item{static_cast<uint32_t>(list[i] >> 32), 1}; };
  if (row.top_k > 0 && row.top_k < count) kth = select(memory, count, 32, static_cast<uint64_t>(row.top_k), by_value).key;
  const auto stays = [&](uint64_t entry) { return static_cast<uint32_t>(entry >> 32) <= kth; };
  uint64_t total = 0;
  if (row.top_k > 0 || row.min_p_offset > -INFINITY) {
    for (auto i = static_cast<int32_t>(threadIdx.x); i < count; i += kSelectThreads) total += stays(list[i]) ? mass_of(p_of(list[i])) : 0;
  } else {  // the nucleus is of the whole vocabulary, of which the list is the top
    const uint64_t* bins = work.bin_masses + static_cast<int64_t>(r) * kBins;
    for (auto bin = static_cast<int32_t>(threadIdx.x); bin < kBins; bin += kSelectThreads) total += bins[bin];
  }
  total = over_block<kSelectThreads>(total, memory.find.warps, plus);
  float edge = 0;  // the least probability that stays, and the last of its ids
  uint32_t edge_id = ~0u;
  if (row.top_p < 1) {
    const uint64_t goal = nucleus_goal(row.top_p, total);
    const Selected last = select(memory, count, 32, goal, [&](int32_t i) {
      const float p = p_of(list[i]);
      return Item{~as_bits(p), stays(list[i]) ? mass_of(p) : 0};
    });
    edge = as_float(~last.key);
    const uint64_t each = mass_of(edge), equals = (goal - last.before + each - 1) / each;
    edge_id = select(memory, count, kIdBits, equals, [&](int32_t i) {
      return Item{static_cast<uint32_t>(list[i]), stays(list[i]) && p_of(list[i]) == edge ? uint64_t{1} : uint64_t{0}};
    }).key;
    total = last.before + equals * each;
  }
  return static_cast<int32_t>(select(memory, count, kIdBits, draw_goal(row.uniform, total), [&](int32_t i) {
    const float p = p_of(list[i]);
    const bool in = stays(list[i]) && (p > edge || (p == edge && static_cast<uint32_t>(list[i]) <= edge_id));
    return Item{static_cast<uint32_t>(list[i]), in ? mass_of(p) : 0};
  }).key);
}

// In place of a token: the row is broken, or what is asked of it leaves no token.
constexpr int32_t kBroken = -1, kNoneLeft = -2;

// The row's token, or why it has none.
__device__ int32_t choose(const SampleWork& work, const SampleRow& row, int32_t r, const Largest& raw, SelectMemory& memory) {
  if (raw.broken) return kBroken;
  if (row.scores) return *row.token;
  const Largest largest = work.changes(row) ? largest_of(work, kChosen, row, r) : raw;
  if (!largest.usable()) return largest.broken || !raw.usable() ? kBroken : kNoneLeft;
  if (!work.draws(row)) return largest.id;
  return work.truncates(row) ? draw_of_listed(work, row, r, largest.value, memory) : draw_of_all(work, row, r, largest.value, memory);
}

// ln Σ e^x over the raw logits.
__device__ double log_total(const SampleWork& work, int32_t r, float max, uint64_t* warps) {
  const uint64_t* spans = work.masses[kRaw] + static_cast<int64_t>(r) * work.spans;
  uint64_t total = 0;
  for (auto i = static_cast<int32_t>(threadIdx.x); i < work.spans; i += kSelectThreads) total += spans[i];
  return log(real_of(over_block<kSelectThreads>(total, warps, plus))) + static_cast<double>(max);
}

// Ascending, in place; `size` is a power of two.
__device__ void sort(uint64_t* list, int32_t size) {
  for (int32_t run = 2; run <= size; run *= 2) {
    for (int32_t step = run / 2; step > 0; step /= 2) {
      for (auto i = static_cast<int32_t>(threadIdx.x); i < size / 2; i += kSelectThreads) {
        const int32_t low = i / step * step * 2 + i % step, high = low + step;
        const uint64_t a = list[low], b = list[high];
        if ((a > b) == ((low & run) == 0)) {
          list[low] = b;
          list[high] = a;
        }
      }
      __syncthreads();
    }
  }
}

// The n largest of the raw logits, best first. More candidates may be listed than are wanted: the n-th is found, then only n are sorted.
__device__ void write_tops(const SampleWork& work, const SampleRow& row, int32_t r, SelectMemory& memory, uint64_t* shared, uint32_t& taken) {
  const int32_t n = work.tops(row);
  const Largest raw = largest_of(work, kRaw, row, r);
  if (n == 0 || raw.broken) return;
  const double total = log_total(work, r, raw.value, memory.find.warps);
  const auto count = static_cast<int32_t>(work.listed_count[kRaw][r]);
  const uint64_t* list = work.listed[kRaw] + static_cast<int64_t>(r) * work.vocab;
  uint64_t last = ~uint64_t{0};
  if (n < count) {
    const auto by_value = [&](int32_t i) { return Item{static_cast<uint32_t>(list[i] >> 32), 1}; };
    const Selected nth = select(memory, count, 32, static_cast<uint64_t>(n), by_value);
    const Selected id = select(memory, count, kIdBits, static_cast<uint64_t>(n) - nth.before, [&](int32_t i) {
      return Item{static_cast<uint32_t>(list[i]), static_cast<uint32_t>(list[i] >> 32) == nth.key ? uint64_t{1} : uint64_t{0}};
    });
    last = static_cast<uint64_t>(nth.key) << 32 | id.key;
  }
  int32_t size = 2, room = 2;
  while (size < n) size *= 2;
  while (room < work.features.top) room *= 2;
  uint64_t* sorted = size <= kSharedSort ? shared : work.sorted + static_cast<int64_t>(r) * room;
  if (threadIdx.x == 0) taken = 0;
  __syncthreads();
  for (auto i = static_cast<int32_t>(threadIdx.x); i < count; i += kSelectThreads)
    if (list[i] <= last) sorted[atomic_add(&taken, 1u)] = list[i];
  for (auto i = n + static_cast<int32_t>(threadIdx.x); i < size; i += kSelectThreads) sorted[i] = ~uint64_t{0};
  __syncthreads();
  sort(sorted, size);
  const int64_t to = static_cast<int64_t>(work.first_row + r) * work.features.top;
  for (auto i = static_cast<int32_t>(threadIdx.x); i < n; i += kSelectThreads) {
    work.top_tokens[to + i] = static_cast<int32_t>(sorted[i]);
    work.top_logprobs[to + i] = static_cast<float>(entry_value(sorted[i]) - total);
  }
}

// Blocks of the token first, then as many of the n largest, if the shape has any.
__global__ void __launch_bounds__(kSelectThreads) pick_tokens(const __grid_constant__ SampleWork work, int32_t rows) {
  __shared__ SelectMemory memory;
  __shared__ uint64_t sorted[kSharedSort];
  __shared__ uint32_t taken;
  const auto r = static_cast<int32_t>(blockIdx.x) % rows;
  const SampleRow& row = work.row(r);
  if (static_cast<int32_t>(blockIdx.x) >= rows) {
    if (row.vocab > 0) write_tops(work, row, r, memory, sorted, taken);
    return;
  }
  int32_t token = 0, rank = 0;
  float logprob = 0;
  if (row.vocab > 0) {
    const Largest raw = largest_of(work, kRaw, row, r);
    token = choose(work, row, r, raw, memory);
    if (token >= 0 && work.reports(row)) {
      logprob = static_cast<float>(work.logits_of(kRaw, row, r)[token] - log_total(work, r, raw.value, memory.find.warps));
      rank = 1;
    }
  }
  if (threadIdx.x != 0) return;
  const int64_t to = work.first_row + r;
  work.statuses[to] = token >= 0 ? 0 : token == kNoneLeft ? kNothingAllowed : 1;
  if (token < 0) token = -1;
  work.tokens[to] = token;
  if (work.also_tokens) work.also_tokens[to] = token;
  if (row.token && !row.scores) *row.token = token < 0 ? 0 : token;
  work.ranks[to] = rank;
  work.logprobs[to] = logprob;
  work.top_counts[to] = token < 0 || row.vocab == 0 ? 0 : work.tops(row);
  atomic_max(work.times + 1, clock_ns());
}

// rank += how many raw logits are greater than the token's.
__global__ void __launch_bounds__(kSpanThreads) rank_tokens(const __grid_constant__ SampleWork work) {
  __shared__ uint64_t warps[kSpanThreads / 32];
  const auto r = static_cast<int32_t>(blockIdx.x) / work.spans, span = static_cast<int32_t>(blockIdx.x) % work.spans;
  const SampleRow& row = work.row(r);
  const int32_t token = work.tokens[work.first_row + r];
  if (row.vocab == 0 || !work.reports(row) || token < 0) return;
  const float* plane = work.logits_of(kRaw, row, r);
  const float logit = plane[token];
  float v[kPerThread];
  read_plane(v, plane, span);
  uint64_t better = 0;
#pragma unroll
  for (int j = 0; j < kPerThread; j++) better += v[j] > logit;
  better = over_block<kSpanThreads>(better, warps, plus);
  if (threadIdx.x == 0 && better > 0) atomic_add(reinterpret_cast<uint32_t*>(work.ranks) + work.first_row + r, static_cast<uint32_t>(better));
  if (span == 0 && threadIdx.x == 0) atomic_max(work.times + 1, clock_ns());
}

}  // namespace

int pick(const SampleWork& work, int32_t rows, CUstream_st* stream) {
  const int32_t blocks = work.features.top > 0 ? 2 * rows : rows;
  return launch_kernel(pick_tokens, Grid{static_cast<uint32_t>(blocks), kSelectThreads, false, stream}, work, rows);
}

int count_better(const SampleWork& work, int32_t rows, CUstream_st* stream) {
  return launch_kernel(rank_tokens, Grid{static_cast<uint32_t>(rows * work.spans), kSpanThreads, false, stream}, work);
}

}  // namespace lorikeet::cuda
