// One tile of keys for a few query rows of one head: scores, soft cap, mask, online softmax, weighted values.
#pragma once
#include <algorithm>
#include <limits>
#include "../kernels.h"
#include "math.h"
#include "unroll.h"

namespace lorikeet::LORIKEET_ISA {

constexpr int kKeyTile = 64;   // keys scored at once
constexpr int kQueryRows = 4;  // rows (token, head) that share one read of a key tile's vectors
constexpr int kTileVectors = Vec::registers == 32 ? 4 : 2;  // of keys, or of a value's channels, at a time: as many as the registers hold for kQueryRows
constexpr float kUnseen = -std::numeric_limits<float>::infinity();

// Running softmax of one (token, head).
struct QueryRow {
  const float* q;
  int64_t first_key, last_key;  // keys it sees, both included
  float max, sum;               // sum is 0 before the first key
};

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

// scores[r][k] = q_r · key_k for first ≤ k < width, V vectors of keys at a time, with the tile's keys transposed: keys[d · kKeyTile + k].
template <int R, int V>
void score(const QueryRow* rows, const float* keys, int size, int first, int width, float* scores) {
  for (int k = first; k + V * Vec::N <= width; k += V * Vec::N) {
    Vec sum[R][V];
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++)
      LORIKEET_UNROLL
      for (int v = 0; v < V; v++) sum[r][v] = Vec::set(0);
    for (int d = 0; d < size; d++) {
      Vec key[V];
      LORIKEET_UNROLL
      for (int v = 0; v < V; v++) key[v] = Vec::load(keys + d * kKeyTile + k + v * Vec::N);
      LORIKEET_UNROLL
      for (int r = 0; r < R; r++) {
        const Vec q = Vec::set(rows[r].q[d]);
        LORIKEET_UNROLL
        for (int v = 0; v < V; v++) sum[r][v] = Vec::fma(q, key[v], sum[r][v]);
      }
    }
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++)
      LORIKEET_UNROLL
      for (int v = 0; v < V; v++) sum[r][v].store(scores + r * kKeyTile + k + v * Vec::N);
  }
}

// Soft cap, mask and online softmax of one row that sees keys [from, to) of the tile. Leaves probabilities in `scores`; returns the factor for what was
// summed before. Places outside [from, to) hold no key of the row's: whatever the cache has there is replaced, not multiplied, since it may be NaN.
inline float soften(QueryRow& row, int from, int to, int width, float softcap, float* scores) {
  if (softcap > 0) {
    const Vec cap = Vec::set(softcap), inverse = Vec::set(1 / softcap);
    for (int k = 0; k < width; k += Vec::N) (cap * tanh(Vec::load(scores + k) * inverse)).store(scores + k);
  }
  for (int k = 0; k < from; k++) scores[k] = kUnseen;
  for (int k = to; k < width; k++) scores[k] = kUnseen;
  Vec most = Vec::load(scores);
  for (int k = Vec::N; k < width; k += Vec::N) most = Vec::max(most, Vec::load(scores + k));
  const float max = std::max(row.max, most.hmax());
  const float rescale = row.max == kUnseen ? 0 : exp_one(row.max - max);
  const Vec shift = Vec::set(max);
  Vec total = Vec::set(0);
  for (int k = 0; k < width; k += Vec::N) {
    const Vec p = exp(Vec::load(scores + k) - shift);
    p.store(scores + k);
    total = total + p;
  }
  row.sum = row.sum * rescale + total.sum();
  row.max = max;
  return rescale;
}

// out_r = factor_r · out_r + Σ_k p_r[k] · value_k over keys [from, to), for V vectors of the head at offset d.
template <int R, int V>
void weigh(const float* scores, const float* factor, const float* const* values, int from, int to, int d, float* const* out) {
  Vec sum[R][V];
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    LORIKEET_UNROLL
    for (int v = 0; v < V; v++) sum[r][v] = Vec::load(out[r] + d + v * Vec::N) * Vec::set(factor[r]);
  for (int k = from; k < to; k++) {
    Vec value[V];
    LORIKEET_UNROLL
    for (int v = 0; v < V; v++) value[v] = Vec::load(values[k] + d + v * Vec::N);
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++) {
      const Vec p = Vec::set(scores[r * kKeyTile + k]);
      LORIKEET_UNROLL
      for (int v = 0; v < V; v++) sum[r][v] = Vec::fma(p, value[v], sum[r][v]);
    }
  }
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    LORIKEET_UNROLL
    for (int v = 0; v < V; v++) sum[r][v].store(out[r] + d + v * Vec::N);
}

template <int R>
void weigh_head(const float* scores, const float* factor, const float* const* values, int from, int to, int size, float* const* out) {
  int d = 0;
  for (; d + kTileVectors * Vec::N <= size; d += kTileVectors * Vec::N) weigh<R, kTileVectors>(scores, factor, values, from, to, d, out);
  for (; d + Vec::N <= size; d += Vec::N) weigh<R, 1>(scores, factor, values, from, to, d, out);
  for (; d < size; d++)
    for (int r = 0; r < R; r++) {
      float sum = out[r][d] * factor[r];
      for (int k = from; k < to; k++) sum += scores[r * kKeyTile + k] * values[k][d];
      out[r][d] = sum;
    }
}

// R rows that each see some of the tile's keys.
template <int R>
void attend_tile(QueryRow* rows, const AttentionArgs& a, int64_t tile_start, int keys, const float* keys_t, const float* const* values, float* const* out) {
  float scores[R * kKeyTile], factor[R];
  int from[R], to[R], all_from = 0, all_to = keys;
  // Vectors without a key add nothing that counts: a short tile may leave them out and give the same bits.
  const int width = (keys + Vec::N - 1) / Vec::N * Vec::N, wide = width / (kTileVectors * Vec::N) * (kTileVectors * Vec::N);
  score<R, kTileVectors>(rows, keys_t, a.head_size, 0, wide, scores);
  score<R, 1>(rows, keys_t, a.head_size, wide, width, scores);
  for (int r = 0; r < R; r++) {
    from[r] = int(std::max<int64_t>(0, rows[r].first_key - tile_start));
    to[r] = int(std::min<int64_t>(keys, rows[r].last_key + 1 - tile_start));
    all_from = std::max(all_from, from[r]);
    all_to = std::min(all_to, to[r]);
    factor[r] = soften(rows[r], from[r], to[r], width, a.softcap, scores + r * kKeyTile);
  }
  // Each row adds exactly its own keys, in order: those that all rows see together, the others by themselves. A value that a row does not see may be NaN (a
  // later token of its own prompt that overflowed), and 0 · NaN would spread it backwards.
  all_to = std::max(all_to, all_from);
  for (int r = 0; r < R; r++)
    if (const int end = std::min(all_from, to[r]); from[r] < end) {
      weigh_head<1>(scores + r * kKeyTile, factor + r, values, from[r], end, a.head_size, out + r);
      factor[r] = 1;
    }
  weigh_head<R>(scores, factor, values, all_from, all_to, a.head_size, out);
  for (int r = 0; r < R; r++)
    if (const int start = std::max(all_to, from[r]); start < to[r]) {
      const float one = 1;
      weigh_head<1>(scores + r * kKeyTile, &one, values, start, to[r], a.head_size, out + r);
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

}  // namespace lorikeet::LORIKEET_ISA
