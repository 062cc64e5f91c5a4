// The two products of a delta, h = A x and B h, in register tiles: R rows of x against a few rank rows at a time.
// Every sum has one fixed order, whatever the tile: a dot product adds its Vec::N-wide steps in turn, then its lanes, then the tail; an output adds rank rows
// in turn. So a row's bits depend neither on the rows beside it nor on how the work was cut.
#pragma once
#include <algorithm>
#include "../kernels.h"
#include "../../numeric/half.h"
#include "lora_lines.h"
#include "unroll.h"

namespace lorikeet::LORIKEET_ISA {

// Rank rows of one element type: a Vec at element i, or one element; `scaled`: SiteDelta::scales says what a unit of row j is worth.
struct RowsF32 {
  static constexpr int bytes = 4;
  static constexpr bool scaled = false;
  static Vec load(const void* row, int64_t i) { return Vec::load(static_cast<const float*>(row) + i); }
  static float at(const void* row, int64_t i) { return static_cast<const float*>(row)[i]; }
};
struct RowsF16 {
  static constexpr int bytes = 2;
  static constexpr bool scaled = false;
  static Vec load(const void* row, int64_t i) { return Vec::load_f16(static_cast<const uint16_t*>(row) + i); }
  static float at(const void* row, int64_t i) { return from_half(static_cast<const uint16_t*>(row)[i]); }
};
struct RowsBF16 {
  static constexpr int bytes = 2;
  static constexpr bool scaled = false;
  static Vec load(const void* row, int64_t i) { return Vec::load_bf16(static_cast<const uint16_t*>(row) + i); }
  static float at(const void* row, int64_t i) { return from_bfloat(static_cast<const uint16_t*>(row)[i]); }
};

struct RowsI8 {
  static constexpr int bytes = 1;
  static constexpr bool scaled = true;
  static Vec load(const void* row, int64_t i) { return Vec::load_i8(static_cast<const int8_t*>(row) + i); }
  static float at(const void* row, int64_t i) { return static_cast<const int8_t*>(row)[i]; }
};

// The most rows of x that share one read (and widening) of the rank rows; fewer are done in halves of it. Eight were slower: their x leaves the L1 cache.
constexpr int kRowTile = 4;
// Rank rows, or vectors of outputs, beside R rows: as many sums as the registers hold, and as hide the latency of their chains.
constexpr int beside(int rows) { return rows <= 2 ? 8 / rows : Vec::registers / 2 / rows; }

// h[t][j] = x[t] · a[j] for t < R, j < J, of int8 rows times scales[j]: B's is in it too, so that expanding knows of none.
// lines: null, or asked for as many as are read.
template <typename Rows, int R, int J>
void dots(const float* x, int64_t in, const void* const* a, [[maybe_unused]] const float* scales, float* h, int64_t h_stride, Lines* lines) {
  Vec sum[R][J];
  LORIKEET_UNROLL
  for (int t = 0; t < R; t++)
    LORIKEET_UNROLL
    for (int j = 0; j < J; j++) sum[t][j] = Vec::set(0);
  int64_t i = 0;
  for (; i + Vec::N <= in; i += Vec::N) {
    Vec xs[R];
    LORIKEET_UNROLL
    for (int t = 0; t < R; t++) xs[t] = Vec::load(x + t * in + i);
    if (R == 1 && lines && i * Rows::bytes % 64 == 0) lines->fetch(J);
    LORIKEET_UNROLL
    for (int j = 0; j < J; j++) {
      const Vec row = Rows::load(a[j], i);
      LORIKEET_UNROLL
      for (int t = 0; t < R; t++) sum[t][j] = Vec::fma(xs[t], row, sum[t][j]);
    }
  }
  if constexpr (R == 4 && J == 4)
    sums_of(sum, h, h_stride);
  else
    LORIKEET_UNROLL
    for (int t = 0; t < R; t++)
      LORIKEET_UNROLL
      for (int j = 0; j < J; j++) h[t * h_stride + j] = sum[t][j].sum();
  for (; i < in; i++)
    for (int t = 0; t < R; t++)
      for (int j = 0; j < J; j++) h[t * h_stride + j] += x[t * in + i] * Rows::at(a[j], i);
  if constexpr (Rows::scaled)
    for (int t = 0; t < R; t++)
      for (int j = 0; j < J; j++) h[t * h_stride + j] *= scales[j];
}

// h[t][j] for rows [0, rows) and rank rows [first, last), R rows at a time and the rest in halves.
template <typename Rows, int R = kRowTile>
void shrink(const float* x, int64_t in, int64_t rows, const SiteDelta& d, int32_t first, int32_t last, float* h, int64_t h_stride, Lines* lines) {
  constexpr int J = beside(R);
  const float* const scales = Rows::scaled ? d.scales : nullptr;
  int64_t t = 0;
  for (; t + R <= rows; t += R) {
    int32_t j = first;
    for (; j + J <= last; j += J) dots<Rows, R, J>(x + t * in, in, d.a + j, scales + j, h + t * h_stride + j, h_stride, lines);
    if constexpr (J > 4)
      for (; j + 4 <= last; j += 4) dots<Rows, R, 4>(x + t * in, in, d.a + j, scales + j, h + t * h_stride + j, h_stride, lines);
    for (; j < last; j++) dots<Rows, R, 1>(x + t * in, in, d.a + j, scales + j, h + t * h_stride + j, h_stride, lines);
  }
  if constexpr (R > 1)
    if (t < rows) shrink<Rows, R / 2>(x + t * in, in, rows - t, d, first, last, h + t * h_stride, h_stride, lines);
}

// Where B h goes: to[t][i] = it, or with `add` to[t][i] += weight · it.
struct Outputs {
  float* to;
  int64_t stride;
  bool add;
  float weight;

  Outputs row(int64_t t) const { return {to + t * stride, stride, add, weight}; }
  void put(int64_t t, int64_t i, Vec sum) const {
    float* at = to + t * stride + i;
    (add ? Vec::fma(Vec::set(weight), sum, Vec::load(at)) : sum).store(at);
  }
  void put(int64_t t, int64_t i, float sum) const {
    float& at = to[t * stride + i];
    at = add ? at + weight * sum : sum;
  }
};

// V vectors of outputs from column o of B, R rows; lines as above.
template <typename Rows, int R, int V>
void columns(const float* h, int64_t h_stride, const SiteDelta& d, int64_t o, const Outputs& outputs, int64_t i, Lines* lines) {
  Vec sum[R][V];
  LORIKEET_UNROLL
  for (int t = 0; t < R; t++)
    LORIKEET_UNROLL
    for (int v = 0; v < V; v++) sum[t][v] = Vec::set(0);
  if (R == kRowTile && outputs.add)  // the next columns of the same rows, which no stream announces
    LORIKEET_UNROLL
    for (int t = 0; t < R; t++)
      for (int v = 0; v < V; v++) __builtin_prefetch(outputs.to + t * outputs.stride + i + (V + v) * Vec::N, 1);
  for (int32_t j = 0; j < d.rank; j++) {
    Vec row[V];
    if (R == 1 && lines && o * Rows::bytes % 64 == 0) lines->fetch((V * Vec::N * Rows::bytes + 63) / 64);
    LORIKEET_UNROLL
    for (int v = 0; v < V; v++) row[v] = Rows::load(d.b[j], o + v * Vec::N);
    LORIKEET_UNROLL
    for (int t = 0; t < R; t++) {
      const Vec scale = Vec::set(h[t * h_stride + j]);
      LORIKEET_UNROLL
      for (int v = 0; v < V; v++) sum[t][v] = Vec::fma(scale, row[v], sum[t][v]);
    }
  }
  LORIKEET_UNROLL
  for (int t = 0; t < R; t++)
    LORIKEET_UNROLL
    for (int v = 0; v < V; v++) outputs.put(t, i + v * Vec::N, sum[t][v]);
}

// (B h[t])[o … o + width) of rows [0, rows) to outputs [0, width).
template <typename Rows, int R = kRowTile>
void expand_rows(const float* h, int64_t h_stride, int64_t rows, const SiteDelta& d, int64_t o, int64_t width, const Outputs& outputs, Lines* lines) {
  constexpr int V = beside(R);
  int64_t t = 0, whole = 0;
  if (rows >= 2 * R)  // B's columns are read for all rows before the next ones: of all columns they may not fit into the first cache
    for (; whole + V * Vec::N <= width; whole += V * Vec::N)
      for (int64_t u = 0; u + R <= rows; u += R) columns<Rows, R, V>(h + u * h_stride, h_stride, d, o + whole, outputs.row(u), whole, lines);
  for (; t + R <= rows; t += R) {
    const float* ht = h + t * h_stride;
    const Outputs to = outputs.row(t);
    int64_t i = whole;
    for (; i + V * Vec::N <= width; i += V * Vec::N) columns<Rows, R, V>(ht, h_stride, d, o + i, to, i, lines);
    if constexpr (V > 4)  // where too few are left for V, one vector at a time would wait for each addition
      for (; i + 4 * Vec::N <= width; i += 4 * Vec::N) columns<Rows, R, 4>(ht, h_stride, d, o + i, to, i, lines);
    for (; i + Vec::N <= width; i += Vec::N) columns<Rows, R, 1>(ht, h_stride, d, o + i, to, i, lines);
    for (; i < width; i++)
      for (int r = 0; r < R; r++) {
        float sum = 0;
        for (int32_t j = 0; j < d.rank; j++) sum += ht[r * h_stride + j] * Rows::at(d.b[j], o + i);
        to.put(r, i, sum);
      }
  }
  if constexpr (R > 1)
    if (t < rows) expand_rows<Rows, R / 2>(h + t * h_stride, h_stride, rows - t, d, o, width, outputs.row(t), lines);
}

}  // namespace lorikeet::LORIKEET_ISA
