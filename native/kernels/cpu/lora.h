// BatchedLora's kernels for one instruction set. Included by avx512.cc, avx2.cc and portable.cc, each in its own namespace.
// Every sum has one fixed order: a dot product adds its Vec::N-wide steps in turn, then its lanes, then the tail; an output adds rank rows in turn.
// So a row's bits depend neither on the rows beside it nor on how the work was cut.
#pragma once
#include <algorithm>
#include "../kernels.h"
#include "elements.h"
#include "parallel.h"

namespace lorikeet::LORIKEET_ISA {

// Rank rows of one element type: a Vec at element i, or one element.
struct RowsF32 {
  static constexpr int bytes = 4;
  static Vec load(const void* row, int64_t i) { return Vec::load(static_cast<const float*>(row) + i); }
  static float at(const void* row, int64_t i) { return static_cast<const float*>(row)[i]; }
};
struct RowsF16 {
  static constexpr int bytes = 2;
  static Vec load(const void* row, int64_t i) { return Vec::load_f16(static_cast<const uint16_t*>(row) + i); }
  static float at(const void* row, int64_t i) { return f16_at(static_cast<const uint16_t*>(row)[i]); }
};
struct RowsBF16 {
  static constexpr int bytes = 2;
  static Vec load(const void* row, int64_t i) { return Vec::load_bf16(static_cast<const uint16_t*>(row) + i); }
  static float at(const void* row, int64_t i) { return bf16_at(static_cast<const uint16_t*>(row)[i]); }
};

// Rows of x that share one read of the rank rows; rank rows that are read side by side.
constexpr int kRowTile = 4, kRankTile = 4, kLoneRankTile = 8;
// Rows of a segment that one task takes: enough to reuse a rank row from the cache, few enough to share a segment among threads.
constexpr int64_t kTaskRows = 16;
// Outputs that a task takes where a segment's rows alone cannot occupy the threads.
constexpr int64_t kTaskOutputs = 512;

// A rank row is a kilobyte or so: too short for the hardware to see a stream coming, so the next ones are asked for by hand.
inline void fetch_ahead(const void* row, int64_t byte) { __builtin_prefetch(static_cast<const char*>(row) + byte, 0, 2); }

// h[t][j] = x[t] · a[j] for t < R, j < J. `ahead`: whether J more rows follow, whose bytes are fetched meanwhile.
template <typename Rows, int R, int J>
void dots(const float* x, int64_t in, const void* const* a, float* h, int64_t h_stride, bool ahead = false) {
  Vec sum[R][J];
  for (int t = 0; t < R; t++)
    for (int j = 0; j < J; j++) sum[t][j] = Vec::set(0);
  int64_t i = 0;
  for (; i + Vec::N <= in; i += Vec::N) {
    Vec xs[R];
    for (int t = 0; t < R; t++) xs[t] = Vec::load(x + t * in + i);
    if (R == 1 && ahead && i * Rows::bytes % 64 == 0)
      for (int j = 0; j < J; j++) fetch_ahead(a[J + j], i * Rows::bytes);
    for (int j = 0; j < J; j++) {
      const Vec row = Rows::load(a[j], i);
      for (int t = 0; t < R; t++) sum[t][j] = Vec::fma(xs[t], row, sum[t][j]);
    }
  }
  for (int t = 0; t < R; t++)
    for (int j = 0; j < J; j++) {
      float s = sum[t][j].sum();
      for (int64_t k = i; k < in; k++) s += x[t * in + k] * Rows::at(a[j], k);
      h[t * h_stride + j] = s;
    }
}

// h[t][j] for rows [0, rows) and rank rows [first, last).
template <typename Rows>
void shrink(const float* x, int64_t in, int64_t rows, const SiteDelta& d, int32_t first, int32_t last, float* h, int64_t h_stride) {
  int64_t t = 0;
  for (; t + kRowTile <= rows; t += kRowTile) {
    int32_t j = first;
    for (; j + kRankTile <= last; j += kRankTile) dots<Rows, kRowTile, kRankTile>(x + t * in, in, d.a + j, h + t * h_stride + j, h_stride);
    for (; j < last; j++) dots<Rows, kRowTile, 1>(x + t * in, in, d.a + j, h + t * h_stride + j, h_stride);
  }
  for (; t < rows; t++) {
    int32_t j = first;
    for (; j + kLoneRankTile <= last; j += kLoneRankTile)
      dots<Rows, 1, kLoneRankTile>(x + t * in, in, d.a + j, h + t * h_stride + j, h_stride, j + 2 * kLoneRankTile <= last);
    for (; j + kRankTile <= last; j += kRankTile) dots<Rows, 1, kRankTile>(x + t * in, in, d.a + j, h + t * h_stride + j, h_stride);
    for (; j < last; j++) dots<Rows, 1, 1>(x + t * in, in, d.a + j, h + t * h_stride + j, h_stride);
  }
}

// sum[t][v] = Σ_j h[t][j] b[j][o + v·N …] for R rows and V vectors of outputs. `ahead`: whether as many outputs follow, whose bytes are fetched meanwhile.
template <typename Rows, int R, int V>
void columns(const float* h, int64_t h_stride, const SiteDelta& d, int64_t o, float* sum, int64_t sum_stride, bool ahead) {
  Vec acc[R][V];
  for (int t = 0; t < R; t++)
    for (int v = 0; v < V; v++) acc[t][v] = Vec::set(0);
  for (int32_t j = 0; j < d.rank; j++) {
    Vec row[V];
    if (R == 1 && ahead)
      for (int byte = 0; byte < V * Vec::N * Rows::bytes; byte += 64) fetch_ahead(d.b[j], (o + V * Vec::N) * Rows::bytes + byte);
    for (int v = 0; v < V; v++) row[v] = Rows::load(d.b[j], o + v * Vec::N);
    for (int t = 0; t < R; t++) {
      const Vec scale = Vec::set(h[t * h_stride + j]);
      for (int v = 0; v < V; v++) acc[t][v] = Vec::fma(scale, row[v], acc[t][v]);
    }
  }
  for (int t = 0; t < R; t++)
    for (int v = 0; v < V; v++) acc[t][v].store(sum + t * sum_stride + v * Vec::N);
}

// sum[t][0 … width) = (B h[t])[o … o + width); rows of B are `out` long.
template <typename Rows, int R>
void expand_rows(const float* h, int64_t h_stride, const SiteDelta& d, int64_t o, int64_t width, int64_t out, float* sum, int64_t sum_stride) {
  constexpr int V = R == 1 ? 8 : 4;
  int64_t i = 0;
  for (; i + V * Vec::N <= width; i += V * Vec::N) columns<Rows, R, V>(h, h_stride, d, o + i, sum + i, sum_stride, o + i + 2 * V * Vec::N <= out);
  for (; i + Vec::N <= width; i += Vec::N) columns<Rows, R, 1>(h, h_stride, d, o + i, sum + i, sum_stride, false);
  for (; i < width; i++)
    for (int t = 0; t < R; t++) {
      float s = 0;
      for (int32_t j = 0; j < d.rank; j++) s += h[t * h_stride + j] * Rows::at(d.b[j], o + i);
      sum[t * sum_stride + i] = s;
    }
}

// delta[i] += w · (s ⊙ (y + sum) + bias − y), or without a scale w · (sum + bias).
inline void mix(float* delta, const float* y, const float* sum, const SiteDelta& d, float weight, int64_t o, int64_t width) {
  for (int64_t i = 0; i < width; i++) {
    float change = d.out_scale ? d.out_scale[o + i] * (y[i] + sum[i]) - y[i] : sum[i];
    if (d.bias) change += d.bias[o + i];
    delta[i] += weight * change;
  }
}

// Place of the first of n ascending values that is not below `least`; n if none.
inline int32_t first_at_least(const int32_t* values, int32_t n, int64_t least) {
  int32_t low = 0;
  while (low < n) {
    const int32_t middle = low + (n - low) / 2;
    if (values[middle] < least) low = middle + 1;
    else n = middle;
  }
  return low;
}

// Adds the direct form (no B): sum[index[j]] = h[j] inside [o, o + width).
inline void scatter(const float* h, const SiteDelta& d, int64_t o, int64_t width, float* sum) {
  std::fill(sum, sum + width, 0.0f);
  if (!d.index) {
    for (int64_t i = 0; i < width && o + i < d.rank; i++) sum[i] = h[o + i];
    return;
  }
  const int32_t* from = d.index + first_at_least(d.index, d.rank, o);
  for (; from < d.index + d.rank && *from < o + width; from++) sum[*from - o] += h[from - d.index];
}

// Where one entry's h of one product lies in a row of the h buffer.
inline int64_t segment_rank(const LoraArgs& args, const LoraSegment& s) {
  int64_t total = 0;
  for (int32_t e = 0; e < s.entry_count; e++)
    for (int32_t p = 0; p < args.products; p++)
      if (s.entries[e].delta[p]) total += s.entries[e].delta[p]->rank;
  return total;
}

// y_p[rows, o … o+width) of rows [row, row + rows) from their h.
template <typename Rows>
void expand(const LoraArgs& args, const LoraSegment& s, int32_t p, int64_t row, int64_t rows, int64_t o, int64_t width, const float* h,
            int64_t h_stride) {
  constexpr int64_t kStrip = 512;
  float sum[kRowTile * kStrip], delta[kRowTile * kStrip];
  for (int64_t at = o; at < o + width; at += kStrip) {
    const int64_t w = std::min(kStrip, o + width - at);
    for (int64_t t = 0; t < rows;) {
      const int64_t n = t + kRowTile <= rows ? kRowTile : 1;
      std::fill(delta, delta + n * kStrip, 0.0f);
      int64_t h_at = 0;
      for (int32_t e = 0; e < s.entry_count; e++)
        for (int32_t q = 0; q < args.products; q++) {
          const SiteDelta* d = s.entries[e].delta[q];
          if (!d) continue;
          const float* he = h + t * h_stride + h_at;
          h_at += d->rank;
          if (q != p) continue;
          if (!d->rank) std::fill(sum, sum + n * kStrip, 0.0f);
          else if (!d->b)
            for (int64_t k = 0; k < n; k++) scatter(he + k * h_stride, *d, at, w, sum + k * kStrip);
          else if (n == kRowTile) expand_rows<Rows, kRowTile>(he, h_stride, *d, at, w, args.out[p], sum, kStrip);
          else expand_rows<Rows, 1>(he, h_stride, *d, at, w, args.out[p], sum, kStrip);
          for (int64_t k = 0; k < n; k++)
            mix(delta + k * kStrip, args.y[p] + (row + t + k) * args.out[p] + at, sum + k * kStrip, *d, s.entries[e].weight, at, w);
        }
      for (int64_t k = 0; k < n; k++) {
        float* y = args.y[p] + (row + t + k) * args.out[p] + at;
        for (int64_t i = 0; i < w; i++) y[i] += delta[k * kStrip + i];
      }
      t += n;
    }
  }
}

// h of rows [row, row + rows), all entries and products; or the slice [first, last) of the concatenated ranks.
template <typename Rows>
void shrink_all(const LoraArgs& args, const LoraSegment& s, int64_t row, int64_t rows, int64_t first, int64_t last, float* h,
                int64_t h_stride) {
  int64_t at = 0;
  for (int32_t e = 0; e < s.entry_count; e++)
    for (int32_t p = 0; p < args.products; p++) {
      const SiteDelta* d = s.entries[e].delta[p];
      if (!d) continue;
      const int64_t from = std::max(first, at), to = std::min(last, at + d->rank);
      if (from < to)
        shrink<Rows>(args.x + row * args.in, args.in, rows, *d, int32_t(from - at), int32_t(to - at), h + at, h_stride);
      at += d->rank;
    }
}

// A run of rows of one segment, and where its h lies.
struct LoraTask {
  const LoraSegment* segment;
  int64_t row, rows, rank;  // rank: of all entries and products together
};

template <typename Rows>
struct LoraJob {
  const LoraArgs* args;
  const LoraTask* tasks;
  float* h;                 // two-phase form only: [rows, h_stride]
  int64_t h_stride, slices, strips;

  // One task does all for its rows: they depend on no others.
  static void whole(void* data, size_t i) {
    const auto& job = *static_cast<const LoraJob*>(data);
    const LoraTask& task = job.tasks[i];
    float* h = scratch<float>(Scratch::lora, size_t(task.rows * task.rank));
    shrink_all<Rows>(*job.args, *task.segment, task.row, task.rows, 0, task.rank, h, task.rank);
    for (int32_t p = 0; p < job.args->products; p++)
      expand<Rows>(*job.args, *task.segment, p, task.row, task.rows, 0, job.args->out[p], h, task.rank);
  }
  // Too few rows to occupy the threads: cut each task's ranks, then its outputs.
  static void slice(void* data, size_t i) {
    const auto& job = *static_cast<const LoraJob*>(data);
    const size_t task_index = i / size_t(job.slices);
    const LoraTask& task = job.tasks[task_index];
    const int64_t slice = int64_t(i) % job.slices, width = (task.rank + job.slices - 1) / job.slices;
    shrink_all<Rows>(*job.args, *task.segment, task.row, task.rows, slice * width, std::min(task.rank, (slice + 1) * width),
                     job.h + int64_t(task_index) * kTaskRows * job.h_stride, job.h_stride);
  }
  static void strip(void* data, size_t i) {
    const auto& job = *static_cast<const LoraJob*>(data);
    const size_t task_index = i / size_t(job.strips);
    const LoraTask& task = job.tasks[task_index];
    int64_t strip = int64_t(i) % job.strips;
    for (int32_t p = 0; p < job.args->products; p++) {
      const int64_t strips = (job.args->out[p] + kTaskOutputs - 1) / kTaskOutputs;
      if (strip < strips) {
        const int64_t o = strip * kTaskOutputs;
        return expand<Rows>(*job.args, *task.segment, p, task.row, task.rows, o, std::min(kTaskOutputs, job.args->out[p] - o),
                            job.h + int64_t(task_index) * kTaskRows * job.h_stride, job.h_stride);
      }
      strip -= strips;
    }
  }
};

template <typename Rows>
void batched_lora_of(const LoraArgs& args, const Parallel& parallel) {
  size_t count = 0;
  for (int32_t i = 0; i < args.segment_count; i++)
    count += size_t((args.segments[i].end - args.segments[i].begin + kTaskRows - 1) / kTaskRows);
  LoraTask* tasks = scratch<LoraTask>(Scratch::tasks, count);
  int64_t widest = 0, outputs = 0, work = 0;
  size_t at = 0;
  for (int32_t p = 0; p < args.products; p++) outputs += args.out[p];
  for (int32_t i = 0; i < args.segment_count; i++) {
    const LoraSegment& s = args.segments[i];
    const int64_t rank = segment_rank(args, s);
    widest = std::max(widest, rank);
    work += (s.end - s.begin) * rank * (args.in + outputs / args.products);
    for (int64_t row = s.begin; row < s.end; row += kTaskRows) tasks[at++] = {&s, row, std::min(kTaskRows, s.end - row), rank};
  }
  LoraJob<Rows> job{&args, tasks, nullptr, widest, 1, 0};
  if (count >= size_t(parallel.threads) || work < kWorthThreads) return parallel_for(parallel, LoraJob<Rows>::whole, count, &job, work);
  job.h = scratch<float>(Scratch::shared, count * size_t(kTaskRows * widest));
  job.slices = std::max<int64_t>(1, std::min<int64_t>(parallel.threads, widest / kLoneRankTile));
  for (int32_t p = 0; p < args.products; p++) job.strips += (args.out[p] + kTaskOutputs - 1) / kTaskOutputs;
  parallel_for(parallel, LoraJob<Rows>::slice, count * size_t(job.slices), &job, work);
  parallel_for(parallel, LoraJob<Rows>::strip, count * size_t(job.strips), &job, work);
}

inline void batched_lora(const LoraArgs& args, const Parallel& parallel) {
  switch (args.dtype) {
    case DType::f32: return batched_lora_of<RowsF32>(args, parallel);
    case DType::f16: return batched_lora_of<RowsF16>(args, parallel);
    case DType::bf16: return batched_lora_of<RowsBF16>(args, parallel);
  }
}

}  // namespace lorikeet::LORIKEET_ISA
