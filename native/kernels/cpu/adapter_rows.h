// ScaleInput and BatchedEmbedding for one instruction set: what an adapter does to single rows of the hidden state, before and without a projection.
#pragma once
#include <algorithm>
#include "lora.h"

namespace lorikeet::LORIKEET_ISA {

// Rows [row, row + rows) of one segment.
struct RowsTask {
  const LoraSegment* segment;
  int64_t row, rows;
};

struct RowsJob {
  const LoraArgs* args;
  const int32_t* ids;  // BatchedEmbedding's
  const RowsTask* tasks;
};

// The segments cut into tasks of at most kTaskRows rows; returns how many rows they have together.
inline int64_t cut_rows(const LoraArgs& args, RowsTask*& tasks, size_t& count) {
  count = 0;
  int64_t rows = 0;
  for (int32_t i = 0; i < args.segment_count; i++) count += size_t((args.segments[i].end - args.segments[i].begin + kTaskRows - 1) / kTaskRows);
  RowsTask* at = tasks = scratch<RowsTask>(Scratch::tasks, count);
  for (int32_t i = 0; i < args.segment_count; i++) {
    const LoraSegment& s = args.segments[i];
    rows += s.end - s.begin;
    for (int64_t row = s.begin; row < s.end; row += kTaskRows) *at++ = {&s, row, std::min(kTaskRows, s.end - row)};
  }
  return rows;
}

inline void scale_rows(void* data, size_t index) {
  const auto& job = *static_cast<const RowsJob*>(data);
  const RowsTask& task = job.tasks[index];
  const int64_t width = job.args->out[0];
  float* factor = scratch<float>(Scratch::lora, size_t(width));  // 1 + Σ w (s − 1)
  std::fill(factor, factor + width, 1.0f);
  bool any = false;
  for (int32_t e = 0; e < task.segment->entry_count; e++) {
    const LoraEntry& entry = task.segment->entries[e];
    if (!entry.delta[0] || !entry.delta[0]->in_scale) continue;
    any = true;
    for (int64_t k = 0; k < width; k++) factor[k] += entry.weight * (entry.delta[0]->in_scale[k] - 1);
  }
  if (!any) return;
  for (int64_t t = task.row; t < task.row + task.rows; t++)
    for (int64_t k = 0; k < width; k++) job.args->y[0][t * width + k] *= factor[k];
}

inline void scale_input(const LoraArgs& args, const Parallel& parallel) {
  RowsTask* tasks;
  size_t count;
  const int64_t rows = cut_rows(args, tasks, count);
  RowsJob job{&args, nullptr, tasks};
  parallel_for(parallel, scale_rows, count, &job, rows * args.out[0]);
}

// The place of `id` among an entry's replaced rows; −1 if it is none of them.
inline int32_t replaced_row(const SiteDelta& d, int32_t id) {
  if (!d.index) return id < d.rank ? id : -1;
  const int32_t j = first_at_least(d.index, d.rank, id);
  return j < d.rank && d.index[j] == id ? j : -1;
}

// What a unit of rank row j is worth.
template <typename Rows>
float unit(const SiteDelta& d, int32_t j) {
  if constexpr (Rows::scaled) return d.scales[j];
  return 1;
}

// y += weight · x, of n elements.
template <typename Rows>
void add_row(float* y, float weight, const void* x, int64_t n) {
  const Vec scale = Vec::set(weight);
  int64_t i = 0;
  for (; i + Vec::N <= n; i += Vec::N) Vec::fma(scale, Rows::load(x, i), Vec::load(y + i)).store(y + i);
  for (; i < n; i++) y[i] += weight * Rows::at(x, i);
}

// Σ_j A[j][id] · B[j] for a task's rows, as a projection expands, then into the embeddings.
template <typename Rows>
void add_low_rank(const RowsJob& job, const RowsTask& task, const SiteDelta& d, float weight) {
  const int64_t hidden = job.args->out[0];
  float* h = scratch<float>(Scratch::lora, size_t(task.rows * (d.rank + hidden)));
  float* sum = h + task.rows * d.rank;
  const auto known = [&](int64_t t) { return job.ids[task.row + t] >= 0 && job.ids[task.row + t] < job.args->in; };
  for (int64_t t = 0; t < task.rows; t++)
    for (int32_t j = 0; j < d.rank; j++) h[t * d.rank + j] = known(t) ? unit<Rows>(d, j) * Rows::at(d.a[j], job.ids[task.row + t]) : 0;
  expand_rows<Rows>(h, d.rank, task.rows, d, 0, hidden, {sum, hidden, false, 0}, nullptr);
  for (int64_t t = 0; t < task.rows; t++)
    if (known(t)) add_row<RowsF32>(job.args->y[0] + (task.row + t) * hidden, weight, sum + t * hidden, hidden);
}

inline bool is_added(const RowsJob& job, int32_t id) { return job.args->products > 1 && id >= job.args->in; }

// The rows of tokens that adapters add: the table has none.
template <typename Rows>
void embed_added(const RowsJob& job, const RowsTask& task) {
  const int64_t hidden = job.args->out[0];
  for (int64_t t = task.row; t < task.row + task.rows; t++) {
    if (!is_added(job, job.ids[t])) continue;
    float* row = job.args->y[0] + t * hidden;
    std::fill(row, row + hidden, 0.0f);
    for (int32_t e = 0; e < task.segment->entry_count; e++) {
      const LoraEntry& entry = task.segment->entries[e];
      const SiteDelta* d = entry.delta[1];
      if (!d || !d->rank || d->b) continue;
      if (const int32_t j = replaced_row(*d, int32_t(job.ids[t] - job.args->in)); j >= 0) add_row<Rows>(row, entry.weight * unit<Rows>(*d, j), d->a[j], hidden);
    }
  }
}

template <typename Rows>
void embed_rows(void* data, size_t index) {
  const auto& job = *static_cast<const RowsJob*>(data);
  const RowsTask& task = job.tasks[index];
  const int64_t hidden = job.args->out[0];
  if (job.args->products > 1) embed_added<Rows>(job, task);
  for (int32_t e = 0; e < task.segment->entry_count; e++) {
    const LoraEntry& entry = task.segment->entries[e];
    const SiteDelta* d = entry.delta[0];
    if (!d || !d->rank) continue;
    if (d->b) {
      add_low_rank<Rows>(job, task, *d, entry.weight);
      continue;
    }
    for (int64_t t = task.row; t < task.row + task.rows; t++)
      if (const int32_t j = replaced_row(*d, job.ids[t]); j >= 0 && !is_added(job, job.ids[t])) add_row<Rows>(job.args->y[0] + t * hidden, entry.weight * unit<Rows>(*d, j), d->a[j], hidden);
  }
}

inline void batched_embedding(const EmbeddingArgs& args, const Parallel& parallel) {
  RowsTask* tasks;
  size_t count;
  cut_rows(args.lora, tasks, count);
  int64_t work = 0;
  for (int32_t i = 0; i < args.lora.segment_count; i++) {
    const LoraSegment& s = args.lora.segments[i];
    for (int32_t e = 0; e < s.entry_count; e++)
      for (int32_t p = 0; p < args.lora.products; p++)
        if (const SiteDelta* d = s.entries[e].delta[p]; d && d->rank)
          work += (s.end - s.begin) * (d->b ? d->rank : 1) * args.lora.out[0];  // without B: a row's one replacement at most
  }
  RowsJob job{&args.lora, args.ids, tasks};
  switch (args.lora.dtype) {
    case DType::f32: return parallel_for(parallel, embed_rows<RowsF32>, count, &job, work);
    case DType::f16: return parallel_for(parallel, embed_rows<RowsF16>, count, &job, work);
    case DType::bf16: return parallel_for(parallel, embed_rows<RowsBF16>, count, &job, work);
    case DType::i8: return parallel_for(parallel, embed_rows<RowsI8>, count, &job, work);
  }
}

}  // namespace lorikeet::LORIKEET_ISA
