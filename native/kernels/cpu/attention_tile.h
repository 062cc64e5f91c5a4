// One tile of keys for a few query rows of one head: scores, soft cap, mask, online softmax, weighted values.
#pragma once
#include <algorithm>
#include <limits>
#include "../kernels.h"
#include "attention_pairs.h"
#include "math.h"
#include "unroll.h"

namespace lorikeet::LORIKEET_ISA {

constexpr int kKeyTile = 64;   // keys scored at once
// Rows (token, head) that share one read of a key tile's vectors, at most: as many sums as the registers hold beside what is read.
constexpr int kQueryRows = Vec::registers == 32 ? 6 : 4;
constexpr int kTileVectors = Vec::registers == 32 ? 4 : 2;  // of keys, or of a value's channels, at a time
constexpr float kUnseen = -std::numeric_limits<float>::infinity();

// Running softmax of one (token, head).
struct QueryRow {
  const float* q;               // pairs of bfloat16 where kPairs
  int64_t first_key, last_key;  // keys it sees, both included
  float max, sum;               // sum is 0 before the first key, and while a span is summed: what it has then is in lanes
  alignas(4 * Vec::N) float lanes[Vec::N];

  void clear() {
    max = kUnseen;
    sum = 0;
    Vec::set(0).store(lanes);
  }
};

// One head's part of kKeyTile keys and values. What lies where no key is, or none that a row sees, is not read.
template <typename Element>
struct KeyTile {
  using Stored = typename Element::Stored;
  const Stored* key[kKeyTile / Vec::N];  // channel d of Vec::N keys in a row begins at d · key_stride
  int64_t key_stride;
  const Stored* value[kKeyTile];
  alignas(64) float key_scale[kKeyTile], value_scale[kKeyTile];  // of int8 alone
  // What is read next, one head or one tile on: its lines are asked for while this one is computed. Blocks are too short for the hardware to see a stream coming.
  bool ahead = false;
  const Stored* next_key[kKeyTile / Vec::N];
  const Stored* next_value[kKeyTile / Vec::N];
};

inline void fetch_line(const void* at) { __builtin_prefetch(at); }

// scores[r][k] = q_r · key_k of the tile's vectors [first, last) of keys, V of them at a time.
template <typename Element, int R, int V, bool ahead = false>
void score(const QueryRow* rows, const KeyTile<Element>& tile, int size, int first, int last, float* scores) {
  for (int g = first; g + V <= last; g += V) {
    const typename Element::Stored* key[V];
    Vec sum[R][V];
    LORIKEET_UNROLL
    for (int v = 0; v < V; v++) key[v] = tile.key[g + v];
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++)
      LORIKEET_UNROLL
      for (int v = 0; v < V; v++) sum[r][v] = Vec::set(0);
    const int64_t channel_bytes = tile.key_stride * int64_t(sizeof(typename Element::Stored));
    for (int d = 0; d < size; d++) {
      if (ahead && d * channel_bytes % 64 < channel_bytes)  // a cache line begins
        LORIKEET_UNROLL
        for (int v = 0; v < V; v++) fetch_line(tile.next_key[g + v] + d * tile.key_stride);
      Vec keys[V];
      LORIKEET_UNROLL
      for (int v = 0; v < V; v++) keys[v] = Element::load(key[v] + d * tile.key_stride);
      LORIKEET_UNROLL
      for (int r = 0; r < R; r++) {
        const Vec q = Vec::set(rows[r].q[d]);
        LORIKEET_UNROLL
        for (int v = 0; v < V; v++) sum[r][v] = Vec::fma(q, keys[v], sum[r][v]);
      }
    }
    LORIKEET_UNROLL
    for (int v = 0; v < V; v++) {
      const int k = (g + v) * Vec::N;
      LORIKEET_UNROLL
      for (int r = 0; r < R; r++) {
        if constexpr (Element::scaled) sum[r][v] = sum[r][v] * Vec::load(tile.key_scale + k);
        sum[r][v].store(scores + r * kKeyTile + k);
      }
    }
  }
}

// Soft cap and mask of one row that sees keys [from, to) of the tile's first `width`. Places outside hold no key of the row's: whatever the cache has there is
// replaced, not multiplied, since it may be NaN.
inline void restrict_to(int from, int to, int width, float softcap, float* scores) {
  if (softcap > 0) {
    const Vec cap = Vec::set(softcap), inverse = Vec::set(1 / softcap);
    for (int k = from / Vec::N * Vec::N; k < to; k += Vec::N) (cap * tanh(Vec::load(scores + k) * inverse)).store(scores + k);
  }
  for (int k = 0; k < from; k++) scores[k] = kUnseen;
  for (int k = to; k < width; k++) scores[k] = kUnseen;
}

// Online softmax of R rows over `width` keys: put(r · kKeyTile + k, probabilities from k on), and each row's factor for what was summed before. What one row does depends on
// no other: they are computed side by side because each alone would wait for its own steps.
template <int R, typename Put>
inline void soften(QueryRow* rows, int width, const float* scores, float* factor, const Put& put) {
  Vec most[R], shift[R], total[R];
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++) most[r] = Vec::load(scores + r * kKeyTile);
  for (int k = Vec::N; k < width; k += Vec::N)
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++) most[r] = Vec::max(most[r], Vec::load(scores + r * kKeyTile + k));
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++) factor[r] = most[r].hmax();
  for (int r = 0; r < R; r++) {
    const float max = std::max(rows[r].max, factor[r]);
    factor[r] = rows[r].max == kUnseen ? 0 : exp_one(rows[r].max - max);
    rows[r].max = max;
  }
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++) {
    shift[r] = Vec::set(rows[r].max);
    total[r] = Vec::load(rows[r].lanes) * Vec::set(factor[r]);
  }
  for (int k = 0; k < width; k += Vec::N)
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++) {
      const Vec p = exp(Vec::load(scores + r * kKeyTile + k) - shift[r]);
      put(r * kKeyTile + k, p);
      total[r] = total[r] + p;
    }
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++) total[r].store(rows[r].lanes);
}

// out_r = factor_r · out_r + Σ_k p_r[k] · value_k over keys [from, to), for V vectors of the head at offset d.
template <typename Element, int R, int V, bool ahead>
void weigh(const float* scores, const float* factor, const KeyTile<Element>& tile, int from, int to, int d, int size, float* const* out) {
  Vec sum[R][V];
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    LORIKEET_UNROLL
    for (int v = 0; v < V; v++) sum[r][v] = Vec::load(out[r] + d + v * Vec::N) * Vec::set(factor[r]);
  for (int k = from; k < to; k++) {
    if (ahead)
      for (int i = 0; i < V * Vec::N; i += 64 / int(sizeof(typename Element::Stored))) fetch_line(tile.next_value[k / Vec::N] + (k % Vec::N) * size + d + i);
    Vec value[V];
    LORIKEET_UNROLL
    for (int v = 0; v < V; v++) value[v] = Element::load(tile.value[k] + d + v * Vec::N);
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

template <typename Element, int R, bool ahead = false>
void weigh_head(const float* scores, const float* factor, const KeyTile<Element>& tile, int from, int to, int size, float* const* out) {
  int d = 0;
  for (; d + kTileVectors * Vec::N <= size; d += kTileVectors * Vec::N) weigh<Element, R, kTileVectors, ahead>(scores, factor, tile, from, to, d, size, out);
  for (; d + Vec::N <= size; d += Vec::N) weigh<Element, R, 1, false>(scores, factor, tile, from, to, d, size, out);
  for (; d < size; d++)
    for (int r = 0; r < R; r++) {
      float sum = out[r][d] * factor[r];
      for (int k = from; k < to; k++) sum += scores[r * kKeyTile + k] * Element::widen(tile.value[k][d]);
      out[r][d] = sum;
    }
}

// Scores of the tile's vectors [begin, end).
template <typename Element, int R>
void score_tile(const QueryRow* rows, const KeyTile<Element>& tile, int size, int begin, int end, float* scores) {
  const int wide = begin + (end - begin) / kTileVectors * kTileVectors;
  if constexpr (kPairs<Element>) {
#if defined(__AVX512BF16__)
    const auto both = [&](auto dense) {
      if (tile.ahead) score_pairs<R, kTileVectors, true, decltype(dense)::value>(rows, tile, size, begin, wide, scores, kKeyTile);
      else score_pairs<R, kTileVectors, false, decltype(dense)::value>(rows, tile, size, begin, wide, scores, kKeyTile);
      score_pairs<R, 1, false, decltype(dense)::value>(rows, tile, size, wide, end, scores, kKeyTile);
    };
    if (tile.key_stride == Vec::N) both(std::true_type());
    else both(std::false_type());
#endif
  } else {
    if (tile.ahead) score<Element, R, kTileVectors, true>(rows, tile, size, begin, wide, scores);
    else score<Element, R, kTileVectors>(rows, tile, size, begin, wide, scores);
    score<Element, R, 1>(rows, tile, size, wide, end, scores);
  }
}

// R rows' probabilities of a tile, as the values are multiplied by them.
template <typename Element, int R>
struct Weights {
  float* scores;  // their place

  explicit Weights(float* place) : scores(place) {}
  void put(int at, Vec p) { p.store(scores + at); }
  template <int rows, bool ahead>
  void weigh(int r, const float* factor, const KeyTile<Element>& tile, int from, int to, int size, float* const* out) const {
    weigh_head<Element, rows, ahead>(scores + r * kKeyTile, factor, tile, from, to, size, out);
  }
};
#if defined(__AVX512BF16__)
template <int R>
struct Weights<CacheBF16, R> {
  alignas(64) uint32_t pairs[R * kKeyTile / 2];

  explicit Weights(float*) {}
  void put(int at, Vec p) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(pairs + at / 2), (__m256i)_mm512_cvtneps_pbh(p.v)); }
  template <int rows, bool ahead>
  void weigh(int r, const float* factor, const KeyTile<CacheBF16>& tile, int from, int to, int size, float* const* out) const {
    weigh_head_pairs<rows, ahead>(pairs + r * kKeyTile / 2, kKeyTile / 2, factor, tile, from, to, size, out);
  }
};
#endif

// R rows that each see some of the tile's keys.
template <typename Element, int R>
void attend_tile(QueryRow* rows, const AttentionArgs& a, int64_t tile_start, int keys, const KeyTile<Element>& tile, float* const* out) {
  float scores[R * kKeyTile], factor[R];
  int from[R], to[R], all_from = 0, all_to = keys, first = keys, last = 0;
  for (int r = 0; r < R; r++) {
    from[r] = int(std::max<int64_t>(0, rows[r].first_key - tile_start));
    to[r] = int(std::min<int64_t>(keys, rows[r].last_key + 1 - tile_start));
    all_from = std::max(all_from, from[r]);
    all_to = std::min(all_to, to[r]);
    first = std::min(first, from[r]);
    last = std::max(last, to[r]);
  }
  // Vectors without a key that a row sees add nothing that counts: they may be left out and give the same bits.
  const int begin = first / Vec::N, end = (last + Vec::N - 1) / Vec::N, width = (keys + Vec::N - 1) / Vec::N * Vec::N;
  score_tile<Element, R>(rows, tile, a.head_size, begin, end, scores);
  if (all_from > 0 || all_to < width || a.softcap > 0)
    for (int r = 0; r < R; r++) restrict_to(from[r], to[r], width, a.softcap, scores + r * kKeyTile);
  Weights<Element, R> weights(scores);
  soften<R>(rows, width, scores, factor, [&](int at, Vec p) { weights.put(at, p); });
  if constexpr (Element::scaled)
    for (int r = 0; r < R; r++)
      for (int k = from[r]; k < to[r]; k++) scores[r * kKeyTile + k] *= tile.value_scale[k];
  // Each row adds exactly its own keys, in order: those that all rows see together, the others by themselves. A value that a row does not see may be NaN (a
  // later token of its own prompt that overflowed), and 0 · NaN would spread it backwards.
  if constexpr (kPairs<Element>) {
    all_from = (all_from + 1) / 2 * 2;
    all_to = all_to / 2 * 2;
  }
  all_to = std::max(all_to, all_from);
  for (int r = 0; r < R; r++)
    if (const int stop = std::min(all_from, to[r]); from[r] < stop) {
      weights.template weigh<1, false>(r, factor + r, tile, from[r], stop, a.head_size, out + r);
      factor[r] = 1;
    }
  if (tile.ahead) weights.template weigh<R, true>(0, factor, tile, all_from, all_to, a.head_size, out);
  else weights.template weigh<R, false>(0, factor, tile, all_from, all_to, a.head_size, out);
  for (int r = 0; r < R; r++)
    if (const int start = std::max(all_to, from[r]); start < to[r]) {
      const float one = 1;
      weights.template weigh<1, false>(r, &one, tile, start, to[r], a.head_size, out + r);
    }
}

template <typename Element, int R = kQueryRows>
void attend_few(int64_t n, QueryRow* query, const AttentionArgs& a, int64_t start, int keys, const KeyTile<Element>& tile, float* const* out) {
  if (n == R) return attend_tile<Element, R>(query, a, start, keys, tile, out);
  if constexpr (R > 1) attend_few<Element, R - 1>(n, query, a, start, keys, tile, out);
}

// The tile's part of `count` rows of one head: those that see none of it left out, the others by kQueryRows at most, shared out evenly.
template <typename Element>
void attend_rows(QueryRow* query, int64_t count, const AttentionArgs& a, int64_t start, int keys, const KeyTile<Element>& tile, float* const* out) {
  const auto seen = [&](int64_t i) { return query[i].last_key >= start && query[i].first_key < start + kKeyTile; };
  for (int64_t r = 0; r < count; r++) {
    int64_t end = r;
    while (end < count && seen(end)) end++;
    for (int64_t times = (end - r + kQueryRows - 1) / kQueryRows; times > 0; times--) {
      const int64_t n = (end - r + times - 1) / times;
      attend_few(n, query + r, a, start, keys, tile, out + r);
      r += n;
    }
  }
}

}  // namespace lorikeet::LORIKEET_ISA
