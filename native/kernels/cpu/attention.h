// PagedAttention for one instruction set: rotate and store, then attend tile by tile with an online softmax. By element type of the cache; what is computed is float32.
// Key tiles and spans start at multiples of kKeyTile and kSpan of the absolute position, so what a query computes depends on its own past alone: the same
// bits whether its prompt came whole or in chunks, alone or in a batch, on one thread or many.
// A token whose slot is −1 writes nothing; it attends like any other, to what the cache holds, at its own position too (a prompt's last token, all of whose
// keys and values came from the prefix cache).
#pragma once
#include <algorithm>
#include <cmath>
#include "../kernels.h"
#include "attention_cache.h"
#include "math.h"
#include "parallel.h"

namespace lorikeet::LORIKEET_ISA {

constexpr int64_t kSpan = 512;        // keys that are summed by themselves before they join the rest; a task's share of a long context
constexpr int64_t kTaskTokens = 16;   // query tokens of a task
constexpr int64_t kTaskRowLimit = 512;   // rows (kv head, token, head of the group) that a task holds at most

inline void rms_normalise(float* x, const float* weight, int n, float epsilon) {
  const float scale = 1 / std::sqrt(sum_of_squares(x, n) / float(n) + epsilon);
  for (int i = 0; i < n; i++) x[i] = x[i] * scale * weight[i];
}

inline void rotate(float* x, const float* cos, const float* sin, int64_t half, bool interleaved) {
  if (!interleaved) {
    for (int64_t i = 0; i < half; i++) {
      const float a = x[i], b = x[i + half];
      x[i] = a * cos[i] - b * sin[i];
      x[i + half] = b * cos[i] + a * sin[i];
    }
    return;
  }
  for (int64_t i = 0; i < half; i++) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cos[i] - b * sin[i];
    x[2 * i + 1] = b * cos[i] + a * sin[i];
  }
}

struct AttentionTask {
  int64_t sequence, token, tokens;  // query tokens [token, token + tokens) of the batch
  int32_t kv_begin, kv_end;         // K and V heads
  int64_t first_key, last_key;      // keys that any of its rows sees, both included
  float* partial;                   // where its spans' results wait for each other: [spans][rows][head_size + 2]; null: one thread does all spans

  int64_t first_span() const { return first_key / kSpan; }
  int64_t spans() const { return last_key / kSpan - first_span() + 1; }
};

// One span of a task that threads share.
struct SpanTask {
  const AttentionTask* task;
  int64_t span;
};

struct AttentionJob {
  const AttentionArgs* args;
  const AttentionTask* tasks;
  const SpanTask* spans;
  const int64_t* position;  // [tokens] absolute position of each token
  float* queries;           // [tokens, heads · head_size], normalised, rotated and scaled; each head's as pairs of bfloat16 where kPairs and tiles are read in place
};

// Whether tiles are read where they lie, or collected as floats.
inline bool whole_vectors(const AttentionArgs& a) { return a.block_size % Vec::N == 0; }

// One token: its rotated query to `queries`, its key and value to the cache.
template <typename Element>
void prepare_token(const AttentionJob& job, int64_t t) {
  const AttentionArgs& a = *job.args;
  const int64_t half = a.rotary_dim / 2, size = a.head_size;
  const float* cos = a.cos ? a.cos + job.position[t] * half : nullptr;
  const float* sin = a.sin ? a.sin + job.position[t] * half : nullptr;
  float* q = job.queries + t * a.heads * size;
  std::copy_n(a.query + t * a.heads * size, a.heads * size, q);
  for (int32_t h = 0; h < a.heads; h++, q += size) {
    if (a.q_norm) rms_normalise(q, a.q_norm, a.head_size, a.norm_epsilon);
    if (cos) rotate(q, cos, sin, half, a.interleaved);
    for (int64_t i = 0; i < size; i++) q[i] *= a.scale;
#if defined(__AVX512BF16__)
    if (kPairs<Element> && whole_vectors(a)) put_pairs(q, size, reinterpret_cast<uint32_t*>(q));
#endif
  }
  if (a.slots[t] < 0) return;
  float* key = scratch<float>(Scratch::row, size_t(size));
  for (int32_t h = 0; h < a.kv_heads; h++) {
    const int64_t at = (t * a.kv_heads + h) * size;
    std::copy_n(a.key + at, size, key);
    if (a.k_norm) rms_normalise(key, a.k_norm, a.head_size, a.norm_epsilon);
    if (cos) rotate(key, cos, sin, half, a.interleaved);
    write_token<Element>(a, a.slots[t], h, key, a.value + at);
  }
}

template <typename Element>
void prepare(void* data, size_t index) {
  const auto& job = *static_cast<const AttentionJob*>(data);
  const int64_t begin = int64_t(index) * kTaskTokens, end = std::min(job.args->tokens, begin + kTaskTokens);
  for (int64_t t = begin; t < end; t++) prepare_token<Element>(job, t);
}

// A task's rows and where their results go; nothing summed yet.
struct TaskRows {
  QueryRow query[kTaskRowLimit];
  float* out[kTaskRowLimit];
  int64_t count = 0;

  TaskRows(const AttentionJob& job, const AttentionTask& task) {
    const AttentionArgs& a = *job.args;
    const int64_t group = a.heads / a.kv_heads;
    for (int32_t kv = task.kv_begin; kv < task.kv_end; kv++)
      for (int64_t token = task.token; token < task.token + task.tokens; token++)
        for (int64_t g = 0; g < group; g++, count++) {
          const int64_t at = (token * a.heads + kv * group + g) * a.head_size, position = job.position[token];
          query[count].q = job.queries + at;
          query[count].first_key = a.window < 0 ? 0 : std::max<int64_t>(0, position - a.window + 1);
          query[count].last_key = position;
          query[count].clear();
          out[count] = a.out + at;
        }
  }
  void clear(int64_t size) {
    for (int64_t r = 0; r < count; r++) {
      query[r].clear();
      std::fill_n(out[r], size, 0.0f);
    }
  }
};

// Softmax and weighted values, not yet divided by the sum, of the task's rows over one span.
template <typename Element>
void attend_span(const AttentionArgs& a, const AttentionTask& task, int64_t span, TaskRows& rows) {
  const bool in_place = whole_vectors(a);
  float* room = in_place ? nullptr : scratch<float>(Scratch::attention, size_t(2 * a.head_size * kKeyTile));
  rows.clear(a.head_size);
  const int32_t* table = a.block_table + task.sequence * a.max_blocks;
  const int64_t first = std::max(task.first_key, span * kSpan), last = std::min(task.last_key, (span + 1) * kSpan - 1);
  const int64_t rows_a_head = rows.count / (task.kv_end - task.kv_begin);
  for (int64_t start = first / kKeyTile * kKeyTile; start <= last; start += kKeyTile) {
    const int keys = int(std::min<int64_t>(kKeyTile, last + 1 - start));
    const auto each_head = [&](auto& tile, const auto& fill) {
      for (int32_t kv = task.kv_begin; kv < task.kv_end; kv++) {
        fill(kv);
        const int64_t row = (kv - task.kv_begin) * rows_a_head;
        attend_rows(rows.query + row, rows_a_head, a, start, keys, tile, rows.out + row);
      }
    };
    if (in_place) {
      const TilePlaces places(a, table, start, first, keys);
      const int64_t next = start + kKeyTile;
      const TilePlaces following(a, table, next, next, int(std::clamp<int64_t>(last + 1 - next, 0, kKeyTile)));
      KeyTile<Element> tile;
      each_head(tile, [&](int32_t kv) {
        point_at(a, places, kv, tile);
        if (rows_a_head > kQueryRows) return;  // enough to compute on each line
        if (kv + 1 < task.kv_end) look_ahead(a, places, kv + 1, tile);
        else look_ahead(a, following, task.kv_begin, tile);
      });
    } else {
      KeyTile<CacheF32> tile;
      each_head(tile, [&](int32_t kv) { collect<Element>(a, table, start, first, keys, kv, room, tile); });
    }
  }
  for (int64_t r = 0; r < rows.count; r++) rows.query[r].sum = Vec::load(rows.query[r].lanes).sum();
}

// Adds a later span's part to what a row has; spans join in order, whoever computed them.
inline void join(QueryRow& row, float* out, float part_max, float part_sum, const float* part, int64_t size) {
  if (part_sum == 0) return;  // the row sees none of that span
  if (row.sum == 0) {
    row.max = part_max;
    row.sum = part_sum;
    std::copy_n(part, size, out);
    return;
  }
  const float max = std::max(row.max, part_max), before = exp_one(row.max - max), now = exp_one(part_max - max);
  row.max = max;
  row.sum = row.sum * before + part_sum * now;
  for (int64_t d = 0; d < size; d++) out[d] = out[d] * before + part[d] * now;
}

inline void divide_by_sums(const TaskRows& rows, int64_t size) {
  for (int64_t r = 0; r < rows.count; r++) {
    const float scale = 1 / rows.query[r].sum;
    for (int64_t d = 0; d < size; d++) rows.out[r][d] *= scale;
  }
}

// All spans of a task, one after the other.
template <typename Element>
void attend(void* data, size_t index) {
  const auto& job = *static_cast<const AttentionJob*>(data);
  const AttentionTask& task = job.tasks[index];
  const int64_t size = job.args->head_size;
  TaskRows rows(job, task);
  attend_span<Element>(*job.args, task, task.first_span(), rows);
  for (int64_t s = 1; s < task.spans(); s++) {
    TaskRows part(job, task);
    float* room = scratch<float>(Scratch::spans, size_t(part.count * size));
    for (int64_t r = 0; r < part.count; r++) part.out[r] = room + r * size;
    attend_span<Element>(*job.args, task, task.first_span() + s, part);
    for (int64_t r = 0; r < part.count; r++) join(rows.query[r], rows.out[r], part.query[r].max, part.query[r].sum, part.out[r], size);
  }
  divide_by_sums(rows, size);
}

// One span of a shared task.
template <typename Element>
void attend_shared(void* data, size_t index) {
  const auto& job = *static_cast<const AttentionJob*>(data);
  const SpanTask& shared = job.spans[index];
  const int64_t stride = job.args->head_size + 2;
  TaskRows rows(job, *shared.task);
  float* room = shared.task->partial + (shared.span - shared.task->first_span()) * rows.count * stride;
  for (int64_t r = 0; r < rows.count; r++) rows.out[r] = room + r * stride;
  attend_span<Element>(*job.args, *shared.task, shared.span, rows);
  for (int64_t r = 0; r < rows.count; r++) {
    rows.out[r][stride - 2] = rows.query[r].max;
    rows.out[r][stride - 1] = rows.query[r].sum;
  }
}

inline void join_shared(void* data, size_t index) {
  const auto& job = *static_cast<const AttentionJob*>(data);
  const AttentionTask& task = job.tasks[index];
  const int64_t size = job.args->head_size, stride = size + 2;
  TaskRows rows(job, task);
  for (int64_t s = 0; s < task.spans(); s++)
    for (int64_t r = 0; r < rows.count; r++) {
      const float* part = task.partial + (s * rows.count + r) * stride;
      join(rows.query[r], rows.out[r], part[size], part[size + 1], part, size);
    }
  divide_by_sums(rows, size);
}

template <typename Element>
void paged_attention_of(const AttentionArgs& args, const Parallel& parallel) {
  auto* position = scratch<int64_t>(Scratch::positions, size_t(args.tokens));
  auto* queries = scratch<float>(Scratch::queries, size_t(args.tokens) * args.heads * args.head_size);
  auto* tasks = scratch<AttentionTask>(Scratch::tasks, size_t(args.tokens) * args.kv_heads);
  // A token's heads lie side by side in the block: one task for all of them reads it in one stream. Few sequences are cut by head to occupy the threads.
  const bool whole = args.batch >= 4 * int64_t{parallel.threads} && args.heads <= kTaskRowLimit;
  const int32_t heads_a_task = whole ? args.kv_heads : 1;
  const int64_t rows_a_token = int64_t(args.heads / args.kv_heads) * heads_a_task;
  const int64_t tokens_a_task = std::max<int64_t>(1, std::min(kTaskTokens, kTaskRowLimit / rows_a_token));
  size_t count = 0, span_count = 0;
  int64_t work = 0, partial_floats = 0;
  for (int64_t b = 0; b < args.batch; b++) {
    const int64_t begin = args.cumulative[b], end = args.cumulative[b + 1];
    for (int64_t t = begin; t < end; t++) position[t] = args.past[b] + t - begin;
    for (int64_t t = begin; t < end; t += tokens_a_task)
      for (int32_t kv = 0; kv < args.kv_heads; kv += heads_a_task) {
        AttentionTask& task = tasks[count++];
        task = {b, t, std::min(tokens_a_task, end - t), kv, kv + heads_a_task, 0, 0, nullptr};
        if (args.window >= 0) task.first_key = std::max<int64_t>(0, position[t] - args.window + 1);
        task.last_key = position[t + task.tokens - 1];
        const int64_t rows = task.tokens * rows_a_token;
        work += rows * (task.last_key - task.first_key + 1) * args.head_size * 2;
        span_count += size_t(task.spans());
        partial_floats += task.spans() * rows * (args.head_size + 2);
      }
  }
  AttentionJob job{&args, tasks, nullptr, position, queries};
  parallel_for(parallel, prepare<Element>, size_t((args.tokens + kTaskTokens - 1) / kTaskTokens), &job, args.tokens * (args.heads + args.kv_heads) * args.head_size);
  if (count >= 2 * size_t(parallel.threads) || span_count == count || parallel.threads <= 1) return parallel_for(parallel, attend<Element>, count, &job, work);

  // Few sequences with much to read: threads share each one's spans.
  auto* spans = scratch<SpanTask>(Scratch::lora, span_count);
  float* partial = scratch<float>(Scratch::shared, size_t(partial_floats));
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    tasks[i].partial = partial;
    partial += tasks[i].spans() * tasks[i].tokens * rows_a_token * (args.head_size + 2);
    for (int64_t s = 0; s < tasks[i].spans(); s++) spans[at++] = {&tasks[i], tasks[i].first_span() + s};
  }
  job.spans = spans;
  parallel_for(parallel, attend_shared<Element>, span_count, &job, work);
  parallel_for(parallel, join_shared, count, &job, partial_floats);
}

inline void paged_attention(const AttentionArgs& args, const Parallel& parallel) {
  switch (args.cache) {
    case CacheType::f32: return paged_attention_of<CacheF32>(args, parallel);
    case CacheType::f16: return paged_attention_of<CacheF16>(args, parallel);
    case CacheType::bf16: return paged_attention_of<CacheBF16>(args, parallel);
    case CacheType::i8: return paged_attention_of<CacheI8>(args, parallel);
    case CacheType::f8: return;  // of CUDA alone; PagedAttention refuses it
  }
}

}  // namespace lorikeet::LORIKEET_ISA
