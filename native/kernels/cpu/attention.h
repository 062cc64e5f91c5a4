// PagedAttention for one instruction set: rotate and store, then attend tile by tile with an online softmax.
// Key tiles start at multiples of kKeyTile of the absolute position, so what a query computes depends on its own past alone: the same bits whether its
// prompt came whole or in chunks, alone or in a batch.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include "../kernels.h"
#include "math.h"
#include "scratch.h"

namespace lorikeet::LORIKEET_ISA {

constexpr int kKeyTile = 64;   // keys scored at once
constexpr int kQueryRows = 4;  // rows (token, head) that share one read of a key tile's vectors
constexpr int kTaskTokens = 16;  // query tokens of a task

inline void rms_normalise(float* x, const float* weight, int n, float epsilon) {
  float square = 0;
  for (int i = 0; i < n; i++) square += x[i] * x[i];
  const float scale = 1 / std::sqrt(square / float(n) + epsilon);
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
};

struct AttentionJob {
  const AttentionArgs* args;
  const AttentionTask* tasks;
  const int64_t* position;  // [tokens] absolute position of each token
  float* queries;           // [tokens, heads · head_size], normalised, rotated and scaled
};

// One token: its rotated query to `queries`, its key and value to the cache.
inline void prepare_token(void* data, size_t index) {
  const auto& job = *static_cast<const AttentionJob*>(data);
  const AttentionArgs& a = *job.args;
  const auto t = int64_t(index), half = a.rotary_dim / 2, size = int64_t(a.head_size);
  const float* cos = a.cos ? a.cos + job.position[t] * half : nullptr;
  const float* sin = a.sin ? a.sin + job.position[t] * half : nullptr;
  float* q = job.queries + t * a.heads * size;
  std::copy_n(a.query + t * a.heads * size, a.heads * size, q);
  for (int32_t h = 0; h < a.heads; h++, q += size) {
    if (a.q_norm) rms_normalise(q, a.q_norm, a.head_size, a.norm_epsilon);
    if (cos) rotate(q, cos, sin, half, a.interleaved);
    for (int64_t i = 0; i < size; i++) q[i] *= a.scale;
  }
  if (a.slots[t] < 0) return;
  const int64_t at = int64_t(a.slots[t]) * a.kv_heads * size;
  float* k = a.key_cache + at;
  std::copy_n(a.key + t * a.kv_heads * size, a.kv_heads * size, k);
  for (int32_t h = 0; h < a.kv_heads; h++, k += size) {
    if (a.k_norm) rms_normalise(k, a.k_norm, a.head_size, a.norm_epsilon);
    if (cos) rotate(k, cos, sin, half, a.interleaved);
  }
  std::copy_n(a.value + t * a.kv_heads * size, a.kv_heads * size, a.value_cache + at);
}

// Running softmax of one (token, head).
struct QueryRow {
  const float* q;
  int64_t first_key, last_key;  // keys it sees, both included
  float max, sum;
};

// scores[r][k] = q_r · key_k for k < width, V vectors of keys at a time, with the tile's keys transposed: keys[d · kKeyTile + k].
template <int R, int V>
void score(const QueryRow* rows, const float* keys, int size, int first, int width, float* scores) {
  for (int k = first; k + V * Vec::N <= width; k += V * Vec::N) {
    Vec sum[R][V];
    for (int r = 0; r < R; r++)
      for (int v = 0; v < V; v++) sum[r][v] = Vec::set(0);
    for (int d = 0; d < size; d++) {
      Vec key[V];
      for (int v = 0; v < V; v++) key[v] = Vec::load(keys + d * kKeyTile + k + v * Vec::N);
      for (int r = 0; r < R; r++) {
        const Vec q = Vec::set(rows[r].q[d]);
        for (int v = 0; v < V; v++) sum[r][v] = Vec::fma(q, key[v], sum[r][v]);
      }
    }
    for (int r = 0; r < R; r++)
      for (int v = 0; v < V; v++) sum[r][v].store(scores + r * kKeyTile + k + v * Vec::N);
  }
}

// Soft cap, mask and online softmax of one row's tile. Leaves probabilities in `scores`; returns the factor for what was summed before.
inline float soften(QueryRow& row, int64_t tile_start, int width, float softcap, float* scores) {
  const int64_t from = std::max<int64_t>(0, row.first_key - tile_start), to = std::min<int64_t>(width, row.last_key + 1 - tile_start);
  constexpr float none = -std::numeric_limits<float>::infinity();
  if (softcap > 0)
    for (int64_t k = from; k < to; k++) scores[k] = softcap * std::tanh(scores[k] / softcap);
  for (int64_t k = 0; k < from; k++) scores[k] = none;
  for (int64_t k = to; k < width; k++) scores[k] = none;
  Vec most = Vec::load(scores);
  for (int k = Vec::N; k < width; k += Vec::N) most = Vec::max(most, Vec::load(scores + k));
  const float max = std::max(row.max, most.hmax());
  const float rescale = row.max == none ? 0 : exp_one(row.max - max);
  const Vec shift = Vec::set(max);
  Vec total = Vec::set(0);
  for (int k = 0; k < width; k += Vec::N) {
    const Vec p = exp(Vec::load(scores + k) - shift);
    p.store(scores + k);
    total = total + p;
  }
  std::fill(scores, scores + from, 0.0f);  // exactly nothing, not e^-87
  std::fill(scores + to, scores + width, 0.0f);
  row.sum = row.sum * rescale + total.sum();
  row.max = max;
  return rescale;
}

// out_r = rescale_r · out_r + Σ_k p_r[k] · value_k, for V vectors of the head at offset d.
template <int R, int V>
void weigh(const float* scores, const float* rescale, const float* const* values, int keys, int d, float* const* out) {
  Vec sum[R][V];
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) sum[r][v] = Vec::load(out[r] + d + v * Vec::N) * Vec::set(rescale[r]);
  for (int k = 0; k < keys; k++) {
    Vec value[V];
    for (int v = 0; v < V; v++) value[v] = Vec::load(values[k] + d + v * Vec::N);
    for (int r = 0; r < R; r++) {
      const Vec p = Vec::set(scores[r * kKeyTile + k]);
      for (int v = 0; v < V; v++) sum[r][v] = Vec::fma(p, value[v], sum[r][v]);
    }
  }
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) sum[r][v].store(out[r] + d + v * Vec::N);
}

template <int R>
void attend_tile(QueryRow* rows, const AttentionArgs& a, int64_t tile_start, int keys, const float* keys_t, const float* const* values,
                 float* const* out) {
  float scores[R * kKeyTile], rescale[R];
  const int size = a.head_size;
  // Vectors without a key add exactly nothing: a short tile may leave them out and give the same bits.
  const int width = (keys + Vec::N - 1) / Vec::N * Vec::N, pairs = width / (2 * Vec::N) * (2 * Vec::N);
  score<R, 2>(rows, keys_t, size, 0, pairs, scores);
  score<R, 1>(rows, keys_t, size, pairs, width, scores);
  for (int r = 0; r < R; r++) rescale[r] = soften(rows[r], tile_start, width, a.softcap, scores + r * kKeyTile);
  int d = 0;
  for (; d + 2 * Vec::N <= size; d += 2 * Vec::N) weigh<R, 2>(scores, rescale, values, keys, d, out);
  for (; d + Vec::N <= size; d += Vec::N) weigh<R, 1>(scores, rescale, values, keys, d, out);
  for (; d < size; d++)
    for (int r = 0; r < R; r++) {
      float sum = out[r][d] * rescale[r];
      for (int k = 0; k < keys; k++) sum += scores[r * kKeyTile + k] * values[k][d];
      out[r][d] = sum;
    }
}

// Where a tile's keys and values lie, head 0's; a head's own are `head · head_size` further. Places without a key point at zeros.
struct KeyTile {
  const float* key[kKeyTile];
  const float* value[kKeyTile];
};

inline void locate(const AttentionArgs& a, const int32_t* table, int64_t start, int64_t first, int keys, const float* zeros, KeyTile& tile) {
  const int64_t stride = int64_t(a.kv_heads) * a.head_size;
  // Blocks before every window may have been given back: their place in the table is not to be read.
  const int skipped = int(std::max<int64_t>(0, first - start));
  int64_t block = (start + skipped) / a.block_size, offset = (start + skipped) % a.block_size;
  for (int k = 0; k < kKeyTile; k++) {
    if (k < skipped || k >= keys) {
      tile.key[k] = tile.value[k] = zeros;
      continue;
    }
    const int64_t at = (int64_t(table[block]) * a.block_size + offset) * stride;
    tile.key[k] = a.key_cache + at;
    tile.value[k] = a.value_cache + at;
    if (++offset == a.block_size) {
      offset = 0;
      block++;
    }
  }
}

// keys_t[d · kKeyTile + k] = channel d of the head's key k.
inline void transpose_keys(const KeyTile& tile, int64_t head_offset, int keys, int64_t size, float* keys_t) {
  for (int k = 0; k < keys; k += Vec::N) {
    int64_t d = 0;
    for (; d + Vec::N <= size; d += Vec::N) {
      const float* from[Vec::N];
      for (int i = 0; i < Vec::N; i++) {
        from[i] = tile.key[k + i] + head_offset + d;
        __builtin_prefetch(tile.value[k + i] + head_offset + d);  // read right after the scores
      }
      transpose(from, keys_t + d * kKeyTile + k, kKeyTile);
    }
    for (; d < size; d++)
      for (int i = 0; i < Vec::N; i++) keys_t[d * kKeyTile + k + i] = tile.key[k + i][head_offset + d];
  }
}

// The tile's part of `count` rows of one head: up to kQueryRows at a time, those that see none of it left out.
inline void attend_rows(QueryRow* query, int64_t count, const AttentionArgs& a, int64_t start, int keys, const float* keys_t, const float* const* values,
                        float* const* out) {
  const auto seen = [&](int64_t i) { return query[i].last_key >= start && query[i].first_key < start + kKeyTile; };
  for (int64_t r = 0; r < count;) {
    if (!seen(r)) {
      r++;
      continue;
    }
    int64_t n = 1;
    while (n < kQueryRows && r + n < count && seen(r + n)) n++;
    if (n == kQueryRows) attend_tile<kQueryRows>(query + r, a, start, keys, keys_t, values, out + r);
    else if (n == 3) attend_tile<3>(query + r, a, start, keys, keys_t, values, out + r);
    else if (n == 2) attend_tile<2>(query + r, a, start, keys, keys_t, values, out + r);
    else attend_tile<1>(query + r, a, start, keys, keys_t, values, out + r);
    r += n;
  }
}

// Rows (kv head, token, head of the group) that a task holds at most.
constexpr int kTaskRowLimit = 1024;

inline void attend(void* data, size_t index) {
  const auto& job = *static_cast<const AttentionJob*>(data);
  const AttentionArgs& a = *job.args;
  const AttentionTask& task = job.tasks[index];
  const int64_t size = a.head_size, group = a.heads / a.kv_heads, rows = task.tokens * group;
  const int64_t padded = (size + Vec::N - 1) / Vec::N * Vec::N, zeros_size = int64_t(a.kv_heads) * size + Vec::N;
  float* keys_t = scratch<float>(Scratch::attention, size_t(padded * kKeyTile + zeros_size));
  float* zeros = keys_t + padded * kKeyTile;
  std::fill_n(zeros, zeros_size, 0.0f);
  QueryRow query[kTaskRowLimit];
  float* out[kTaskRowLimit];
  int64_t first = std::numeric_limits<int64_t>::max(), last = 0, r = 0;
  for (int32_t kv = task.kv_begin; kv < task.kv_end; kv++)
    for (int64_t token = task.token; token < task.token + task.tokens; token++)
      for (int64_t g = 0; g < group; g++, r++) {
        const int64_t at = (token * a.heads + kv * group + g) * size, position = job.position[token];
        const int64_t from = a.window < 0 ? 0 : std::max<int64_t>(0, position - a.window + 1);
        query[r] = {job.queries + at, from, position, -std::numeric_limits<float>::infinity(), 0};
        out[r] = a.out + at;
        std::fill_n(out[r], size, 0.0f);
        first = std::min(first, from);
        last = std::max(last, position);
      }
  KeyTile tile;
  for (int64_t start = first / kKeyTile * kKeyTile; start <= last; start += kKeyTile) {
    const int keys = int(std::min<int64_t>(kKeyTile, last + 1 - start));
    locate(a, a.block_table + task.sequence * a.max_blocks, start, first, keys, zeros, tile);
    for (int32_t kv = task.kv_begin; kv < task.kv_end; kv++) {
      const int64_t row = (kv - task.kv_begin) * rows;
      transpose_keys(tile, kv * size, keys, size, keys_t);
      const float* values[kKeyTile];
      for (int k = 0; k < keys; k++) values[k] = tile.value[k] + kv * size;
      attend_rows(query + row, rows, a, start, keys, keys_t, values, out + row);
    }
  }
  for (int64_t i = 0; i < r; i++) {
    const float scale = 1 / query[i].sum;
    for (int64_t d = 0; d < size; d++) out[i][d] *= scale;
  }
}

inline void paged_attention(const AttentionArgs& args, const Parallel& parallel) {
  auto* position = scratch<int64_t>(Scratch::positions, size_t(args.tokens));
  auto* queries = scratch<float>(Scratch::queries, size_t(args.tokens) * args.heads * args.head_size);
  auto* tasks = scratch<AttentionTask>(Scratch::tasks, size_t(args.tokens) * args.kv_heads);
  // A token's heads lie side by side in the cache: one task for all of them reads it in one stream. Few sequences are cut by head to occupy the threads.
  const bool whole = args.batch >= 4 * int64_t{parallel.threads};
  const int32_t heads_a_task = whole ? args.kv_heads : 1;
  const int64_t rows_a_token = int64_t(args.heads / args.kv_heads) * heads_a_task;
  const int64_t span = std::max<int64_t>(1, std::min<int64_t>(kTaskTokens, kTaskRowLimit / rows_a_token));
  size_t count = 0;
  for (int64_t b = 0; b < args.batch; b++) {
    const int64_t begin = args.cumulative[b], end = args.cumulative[b + 1];
    for (int64_t t = begin; t < end; t++) position[t] = args.past[b] + t - begin;
    for (int64_t t = begin; t < end; t += span)
      for (int32_t kv = 0; kv < args.kv_heads; kv += heads_a_task) tasks[count++] = {b, t, std::min(span, end - t), kv, kv + heads_a_task};
  }
  AttentionJob job{&args, tasks, position, queries};
  parallel_for(parallel, prepare_token, size_t(args.tokens), &job);
  parallel_for(parallel, attend, count, &job);
}

}  // namespace lorikeet::LORIKEET_ISA
