// Attention's two products for a bfloat16 cache where the processor multiplies pairs of bfloat16 (VDPBF16PS): queries and probabilities are rounded to bfloat16 as the
// keys and values are, sums are float32. Pairs are of two channels in scores, and of two keys, an even one first, in weighted values.
// A key whose neighbour a row does not see is paired with zeros: what lies there may be NaN.
#pragma once
#include <type_traits>
#include "cache_elements.h"
#include "unroll.h"

namespace lorikeet::LORIKEET_ISA {

#if defined(__AVX512BF16__)
template <typename Element>
constexpr bool kPairs = std::is_same_v<Element, CacheBF16>;

// Sixteen pairs: a's sixteen elements with b's.
inline __m512i interleaved(__m256i a, __m256i b) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1));
}
inline __m256i load_sixteen(const uint16_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
inline Vec dot_pairs(Vec sum, uint32_t x, __m512i pairs) { return {_mm512_dpbf16_ps(sum.v, (__m512bh)_mm512_set1_epi32(static_cast<int32_t>(x)), (__m512bh)pairs)}; }

// n floats as pairs, [(n + 1) / 2]; an odd last one's partner is zero.
inline void put_pairs(const float* from, int64_t n, uint32_t* to) {
  for (int64_t i = 0; i < n; i += 32) {
    const auto there = [&](int64_t first) { return static_cast<__mmask16>(n - first >= 16 ? 0xffff : n > first ? (1 << (n - first)) - 1 : 0); };
    const __m512 low = _mm512_maskz_loadu_ps(there(i), from + i), high = _mm512_maskz_loadu_ps(there(i + 16), from + i + 16);
    _mm512_mask_storeu_epi32(to + i / 2, static_cast<__mmask16>(n - i >= 31 ? 0xffff : (1 << (n - i + 1) / 2) - 1), (__m512i)_mm512_cvtne2ps_pbh(high, low));
  }
}

// Sixteen keys' channels d and d + 1, or d alone.
template <bool dense>
inline __m512i key_pairs(const uint16_t* from, int64_t stride, bool both) {
  if constexpr (dense) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    if (both) return _mm512_permutexvar_epi16(order, _mm512_loadu_si512(from));
  }
  return interleaved(load_sixteen(from), both ? load_sixteen(from + stride) : _mm256_setzero_si256());
}

// As score in attention_tile.h; rows[r].q holds pairs.
template <int R, int V, bool ahead, bool dense, typename Rows, typename Tile>
void score_pairs(const Rows* rows, const Tile& tile, int size, int first, int last, float* scores, int row_stride) {
  for (int g = first; g + V <= last; g += V) {
    Vec sum[R][V];
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++)
      LORIKEET_UNROLL
      for (int v = 0; v < V; v++) sum[r][v] = Vec::set(0);
    const int64_t stride = dense ? Vec::N : tile.key_stride;
    const auto step = [&](int d, bool both) __attribute__((always_inline)) {
      if (ahead)  // two channels are a cache line or several
        LORIKEET_UNROLL
        for (int v = 0; v < V; v++) {
          __builtin_prefetch(tile.next_key[g + v] + d * stride);
          for (int64_t i = 32; !dense && i < 2 * stride; i += 32) __builtin_prefetch(tile.next_key[g + v] + d * stride + i);
        }
      __m512i keys[V];
      LORIKEET_UNROLL
      for (int v = 0; v < V; v++) keys[v] = key_pairs<dense>(tile.key[g + v] + d * stride, stride, both);
      LORIKEET_UNROLL
      for (int r = 0; r < R; r++) {
        const uint32_t q = reinterpret_cast<const uint32_t*>(rows[r].q)[d >> 1];
        LORIKEET_UNROLL
        for (int v = 0; v < V; v++) sum[r][v] = dot_pairs(sum[r][v], q, keys[v]);
      }
    };
    for (int d = 0; d + 2 <= size; d += 2) step(d, true);
    if (size % 2) step(size - 1, false);
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++)
      LORIKEET_UNROLL
      for (int v = 0; v < V; v++) sum[r][v].store(scores + r * row_stride + (g + v) * Vec::N);
  }
}

// Channels [d, d + 32 · C) of the head: out_r = factor_r · out_r + Σ p_r · value over pairs of keys [from, to), both even.
// p: [row][keys / 2] pairs of probabilities.
template <int R, int C, bool ahead, typename Tile>
void weigh_pairs(const uint32_t* p, int row_stride, const float* factor, const Tile& tile, int from, int to, int d, int size, float* const* out) {
  Vec sum[R][2 * C];
  const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    LORIKEET_UNROLL
    for (int v = 0; v < 2 * C; v++) sum[r][v] = Vec::load(out[r] + d + v * Vec::N) * Vec::set(factor[r]);
  for (uint32_t k = uint32_t(from); k < uint32_t(to); k += 2) {
    if (ahead) {
      const uint16_t* next = tile.next_value[k / Vec::N] + k % Vec::N * uint32_t(size) + d;
      LORIKEET_UNROLL
      for (int c = 0; c < C; c++) {
        __builtin_prefetch(next + 32 * c);
        __builtin_prefetch(next + size + 32 * c);
      }
    }
    __m512i value[2 * C];
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) {
      const __m512i even = _mm512_loadu_si512(tile.value[k] + d + 32 * c), odd = _mm512_loadu_si512(tile.value[k + 1] + d + 32 * c);
      value[2 * c] = _mm512_permutex2var_epi16(even, low, odd);
      value[2 * c + 1] = _mm512_permutex2var_epi16(even, high, odd);
    }
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++) {
      const uint32_t pair = p[uint32_t(r * row_stride) + k / 2];
      LORIKEET_UNROLL
      for (int v = 0; v < 2 * C; v++) sum[r][v] = dot_pairs(sum[r][v], pair, value[v]);
    }
  }
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    LORIKEET_UNROLL
    for (int v = 0; v < 2 * C; v++) sum[r][v].store(out[r] + d + v * Vec::N);
}

// One pair of keys, of which a row may see one alone, or the last channels of a head: sixteen channels or fewer.
inline void weigh_pair(uint32_t p, float factor, const uint16_t* even, const uint16_t* odd, int channels, float* out) {
  const auto there = static_cast<__mmask16>(channels >= 16 ? 0xffff : (1 << channels) - 1);
  const __m256i a = even ? _mm256_maskz_loadu_epi16(there, even) : _mm256_setzero_si256(), b = odd ? _mm256_maskz_loadu_epi16(there, odd) : _mm256_setzero_si256();
  const Vec sum = dot_pairs({_mm512_mul_ps(_mm512_maskz_loadu_ps(there, out), _mm512_set1_ps(factor))}, p, interleaved(a, b));
  _mm512_mask_storeu_ps(out, there, sum.v);
}

// Keys [from, to) of R rows; only of one row may they be odd.
template <int R, bool ahead = false, typename Tile>
void weigh_head_pairs(const uint32_t* p, int row_stride, const float* factor, const Tile& tile, int from, int to, int size, float* const* out) {
  const int first = (from + 1) / 2 * 2, last = to / 2 * 2;
  const auto alone = [&](int d, int channels) {
    for (int r = 0; r < R; r++) {
      float scale = factor[r];
      if (from == to) {
        for (int i = 0; i < channels; i++) out[r][d + i] *= scale;
        continue;
      }
      for (int k = from / 2 * 2; k < to; k += 2, scale = 1)
        weigh_pair(p[r * row_stride + k / 2], scale, k >= from ? tile.value[k] + d : nullptr, k + 1 < to ? tile.value[k + 1] + d : nullptr, channels, out[r] + d);
    }
  };
  int d = 0;
  if (first == from && last == to) {
    for (; d + 64 <= size; d += 64) weigh_pairs<R, 2, ahead>(p, row_stride, factor, tile, from, to, d, size, out);
    for (; d + 32 <= size; d += 32) weigh_pairs<R, 1, ahead>(p, row_stride, factor, tile, from, to, d, size, out);
  }
  for (; d < size; d += 16) alone(d, std::min(16, size - d));
}
#else
template <typename Element>
constexpr bool kPairs = false;
#endif

}  // namespace lorikeet::LORIKEET_ISA
