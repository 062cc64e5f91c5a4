// BatchedLora for one instruction set: the adapters' deltas of a batch, cut into tasks for the threads.
// Included by avx512.cc, avx2.cc and portable.cc, each in its own namespace.
#pragma once
#include <algorithm>
#include "../kernels.h"
#include "lora_tiles.h"
#include "parallel.h"

namespace lorikeet::LORIKEET_ISA {

// Rows of a segment that one task takes: enough to reuse a rank row from the cache, few enough to share a segment among threads.
constexpr int64_t kTaskRows = 16;
// Outputs that a task takes where a segment's rows alone cannot occupy the threads.
constexpr int64_t kTaskOutputs = 512;
// Tasks for each thread that runs of rows are put together to, where there are more: few, as each begins with rank rows that nobody fetched ahead; more than one, as
// a thread that is held up leaves the others' work to the rest. (Measured with 32 rows on 32 adapters: 8 % faster than a task for each.)
constexpr int64_t kTasksPerThread = 3;

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

// Elements of y that one row's scales and biases touch: IA3 and bias-only adapters have no rank, and are work all the same.
inline int64_t segment_elements(const LoraArgs& args, const LoraSegment& s) {
  int64_t total = 0;
  for (int32_t e = 0; e < s.entry_count; e++)
    for (int32_t p = 0; p < args.products; p++)
      if (const SiteDelta* d = s.entries[e].delta[p]; d && (d->out_scale || d->bias)) total += args.out[p];
  return total;
}

// y_p[row … row + rows)[o … o + width) from the rows' h.
template <typename Rows>
void expand(const LoraArgs& args, const LoraSegment& s, int32_t p, int64_t row, int64_t rows, int64_t o, int64_t width, const float* h,
            int64_t h_stride) {
  const int64_t out = args.out[p];
  float* y = args.y[p] + row * out + o;
  int64_t first = 0;  // where the first entry's h of this product lies
  for (int32_t q = 0; q < p; q++)
    if (s.entry_count > 0 && s.entries[0].delta[q]) first += s.entries[0].delta[q]->rank;
  if (s.entry_count == 1) {
    const SiteDelta* d = s.entries[0].delta[p];
    if (!d) return;
    if (d->rank && d->b && !d->out_scale && !d->bias)  // one plain LoRA, by far the most: straight to y
      return expand_rows<Rows>(h + first, h_stride, rows, *d, o, width, out, {y, out, true, s.entries[0].weight});
  }
  // Every entry's change is of the same y, so they are summed aside.
  constexpr int64_t kStrip = 256;
  float sum[kRowTile * kStrip], delta[kRowTile * kStrip];
  for (int64_t at = 0; at < width; at += kStrip) {
    const int64_t w = std::min(kStrip, width - at);
    for (int64_t t = 0; t < rows; t += kRowTile) {
      const int64_t n = std::min<int64_t>(kRowTile, rows - t);
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
          else if (d->b) expand_rows<Rows>(he, h_stride, n, *d, o + at, w, out, {sum, kStrip, false, 0});
          else
            for (int64_t k = 0; k < n; k++) scatter(he + k * h_stride, *d, o + at, w, sum + k * kStrip);
          for (int64_t k = 0; k < n; k++) mix(delta + k * kStrip, y + (t + k) * out + at, sum + k * kStrip, *d, s.entries[e].weight, o + at, w);
        }
      for (int64_t k = 0; k < n; k++)
        for (int64_t i = 0; i < w; i++) y[(t + k) * out + at + i] += delta[k * kStrip + i];
    }
  }
}

// Asks for the rank rows of A that a product of one row reads first. Within a site the tiles fetch ahead themselves.
template <typename Rows>
inline void fetch_first(const SiteDelta* d, int64_t in) {
  if (!d) return;
  for (int32_t j = 0; j < std::min<int32_t>(d->rank, beside(1)); j++)
    for (int64_t byte = 0; byte < in * Rows::bytes; byte += 64) fetch_ahead(d->a[j], byte);
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
      if (rows == 1 && from < to && p + 1 < args.products) fetch_first<Rows>(s.entries[e].delta[p + 1], args.in);
      if (from < to)
        shrink<Rows>(args.x + row * args.in, args.in, rows, *d, int32_t(from - at), int32_t(to - at), h + at, h_stride);
      at += d->rank;
    }
}

// A run of rows of one segment, and where its h lies.
struct LoraTask {
  const LoraSegment* segment;
  int64_t row, rows, rank;  // rank: of all entries and products together
  int64_t before;           // work of the runs before it

  const SiteDelta* first_delta() const { return segment->entry_count ? segment->entries[0].delta[0] : nullptr; }
};

template <typename Rows>
struct LoraJob {
  const LoraArgs* args;
  const LoraTask* tasks;
  int64_t runs, work, groups;  // groups: of runs that make a task
  float* h;                    // two-phase form only: [rows, h_stride]
  int64_t h_stride, slices, strips;

  // The first run of a group: groups are of about the same work.
  const LoraTask* first_of(int64_t group) const {
    return std::partition_point(tasks, tasks + runs, [&](const LoraTask& task) { return task.before * groups < work * group; });
  }
  // One task does all for its rows: they depend on no others.
  static void whole(void* data, size_t group) {
    const auto& job = *static_cast<const LoraJob*>(data);
    const LoraTask* const end = job.first_of(static_cast<int64_t>(group) + 1);
    for (const LoraTask* task = job.first_of(static_cast<int64_t>(group)); task < end; task++) {
      float* h = scratch<float>(Scratch::lora, size_t(task->rows * task->rank));
      shrink_all<Rows>(*job.args, *task->segment, task->row, task->rows, 0, task->rank, h, task->rank);
      if (task + 1 < end && task[1].rows == 1) fetch_first<Rows>(task[1].first_delta(), job.args->in);
      for (int32_t p = 0; p < job.args->products; p++)
        expand<Rows>(*job.args, *task->segment, p, task->row, task->rows, 0, job.args->out[p], h, task->rank);
    }
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
    const int64_t row_work = rank * (args.in + outputs / args.products) + segment_elements(args, s);
    widest = std::max(widest, rank);
    for (int64_t row = s.begin; row < s.end; row += kTaskRows) {
      tasks[at++] = {&s, row, std::min(kTaskRows, s.end - row), rank, work};
      work += tasks[at - 1].rows * row_work;
    }
  }
  const auto runs = static_cast<int64_t>(count);
  LoraJob<Rows> job{&args, tasks, runs, std::max<int64_t>(work, 1), std::min(runs, parallel.threads * kTasksPerThread), nullptr, widest, 1, 0};
  if (count >= size_t(parallel.threads) || work < kWorthThreads) return parallel_for(parallel, LoraJob<Rows>::whole, size_t(job.groups), &job, work);
  job.h = scratch<float>(Scratch::shared, count * size_t(kTaskRows * widest));
  job.slices = std::max<int64_t>(1, std::min<int64_t>(parallel.threads, widest / beside(1)));
  for (int32_t p = 0; p < args.products; p++) job.strips += (args.out[p] + kTaskOutputs - 1) / kTaskOutputs;
  if (widest) parallel_for(parallel, LoraJob<Rows>::slice, count * size_t(job.slices), &job, work);
  parallel_for(parallel, LoraJob<Rows>::strip, count * size_t(job.strips), &job, work);
}

inline void batched_lora(const LoraArgs& args, const Parallel& parallel) {
  switch (args.dtype) {
    case DType::f32: return batched_lora_of<RowsF32>(args, parallel);
    case DType::f16: return batched_lora_of<RowsF16>(args, parallel);
    case DType::bf16: return batched_lora_of<RowsBF16>(args, parallel);
    case DType::i8: return batched_lora_of<RowsI8>(args, parallel);
  }
}

}  // namespace lorikeet::LORIKEET_ISA
