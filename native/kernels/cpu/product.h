// The float32 matrix product of folding for one instruction set, blocked as Goto and van de Geijn (2008) do it: the left side is packed once into panels that stream
// from the L2 cache, the right side panel by panel into the L1, and a register tile of kSumRows × kSumColumns sums takes kTermsAtOnce terms at a time.
#pragma once
#include "parallel.h"
#include "tiles.h"
#include "unroll.h"

namespace lorikeet::LORIKEET_ISA {

// Three quarters of the registers are sums: per term they take kSumVectors loads of the right side and kSumRows broadcasts of the left.
constexpr int kSumRows = Vec::registers / 4, kSumVectors = 3, kSumColumns = kSumVectors * Vec::N;
// Rows of the left side in one panel: whole transposed tiles are written, and a register tile may take a part of them.
constexpr int kPanelRows = kSumRows > Vec::N ? kSumRows : Vec::N;
static_assert(kPanelRows % kSumRows == 0 && kPanelRows <= 16);

// sums[r][v] = Σ_k left[k][r] · right[k][v].  Shape: left [depth, kPanelRows], the tile's first row at `left`; right [depth, kSumColumns].
inline __attribute__((always_inline)) void tile_sums(const float* left, const float* right, int64_t depth, Vec (&sums)[kSumRows][kSumVectors]) {
  Vec s[kSumRows][kSumVectors];
  LORIKEET_UNROLL
  for (int r = 0; r < kSumRows; r++)
    LORIKEET_UNROLL
    for (int v = 0; v < kSumVectors; v++) s[r][v] = Vec::set(0);
  for (int64_t k = 0; k < depth; k++) {
    Vec column[kSumVectors];
    LORIKEET_UNROLL
    for (int v = 0; v < kSumVectors; v++) column[v] = Vec::load(right + v * Vec::N);
    LORIKEET_UNROLL
    for (int r = 0; r < kSumRows; r++) {
      const Vec x = Vec::set(left[r]);
      LORIKEET_UNROLL
      for (int v = 0; v < kSumVectors; v++) s[r][v] = Vec::fma(x, column[v], s[r][v]);
    }
    left += kPanelRows;
    right += kSumColumns;
  }
  LORIKEET_UNROLL
  for (int r = 0; r < kSumRows; r++)
    LORIKEET_UNROLL
    for (int v = 0; v < kSumVectors; v++) sums[r][v] = s[r][v];
}

// out[r][c] += scale · sums: whole tiles where they lie, cut ones by way of a whole one, so that both round alike.
inline void add_tile(const Vec (&sums)[kSumRows][kSumVectors], float scale, float* out, int64_t stride, int64_t rows, int64_t columns) {
  const Vec s = Vec::set(scale);
  if (rows >= kSumRows && columns >= kSumColumns) {
    LORIKEET_UNROLL
    for (int r = 0; r < kSumRows; r++)
      LORIKEET_UNROLL
      for (int v = 0; v < kSumVectors; v++) {
        float* at = out + r * stride + v * Vec::N;
        Vec::fma(s, sums[r][v], Vec::load(at)).store(at);
      }
    return;
  }
  float whole[kSumRows * kSumColumns] = {};
  const int64_t m = std::min<int64_t>(rows, kSumRows), n = std::min<int64_t>(columns, kSumColumns);
  for (int64_t r = 0; r < m; r++) std::copy_n(out + r * stride, n, whole + r * kSumColumns);
  add_tile(sums, scale, whole, kSumColumns, kSumRows, kSumColumns);
  for (int64_t r = 0; r < m; r++) std::copy_n(whole + r * kSumColumns, n, out + r * stride);
}

// The left side [m, k] as panels of kPanelRows rows, those of the first kTermsAtOnce terms first.
struct PackedLeft {
  const Matrix* left;
  float* to;
  int64_t panels() const { return (left->rows + kPanelRows - 1) / kPanelRows; }
  float* panel(int64_t p, int64_t k, int64_t depth) const { return to + kPanelRows * (k * panels() + p * depth); }
};

inline void pack_left(const Matrix& left, float* to, const Parallel& parallel) {
  PackedLeft packed{&left, to};
  parallel_for(parallel, [](void* data, size_t p) {
    const auto& job = *static_cast<const PackedLeft*>(data);
    const int64_t first = static_cast<int64_t>(p) * kPanelRows, k = job.left->columns;
    for (int64_t i = 0; i < k; i += kTermsAtOnce) {
      const int64_t depth = std::min(kTermsAtOnce, k - i);
      read_tile(job.left->transposed(), i, depth, first, std::min<int64_t>(kPanelRows, job.left->rows - first), job.panel(static_cast<int64_t>(p), i, depth), kPanelRows);
    }
  }, static_cast<size_t>(packed.panels()), &packed, left.rows * left.columns);
}

struct ProductJob {
  const ProductArgs* args;
  PackedLeft packed;
  int64_t panels, groups;
};

// Panels of the right side that one task takes at most: the left side's terms come from afar for the first of them, and lie in the L2 cache for the others.
constexpr int64_t kGroupPanels = 8;

inline void product_panels(void* data, size_t index) {
  const auto& job = *static_cast<const ProductJob*>(data);
  const auto& [left, right, scale, out, packed] = *job.args;
  alignas(64) float panel[kTermsAtOnce * kSumColumns];
  const auto group = static_cast<int64_t>(index);
  const int64_t first = group * job.panels / job.groups * kSumColumns, end = std::min(right.columns, (group + 1) * job.panels / job.groups * kSumColumns);
  for (int64_t k = 0; k < right.rows; k += kTermsAtOnce) {
    const int64_t depth = std::min(kTermsAtOnce, right.rows - k);
    for (int64_t column = first; column < end; column += kSumColumns) {
      const int64_t columns = std::min<int64_t>(kSumColumns, end - column);
      read_tile(right, k, depth, column, columns, panel, kSumColumns);
      for (int64_t r = 0; r < left.rows; r += kSumRows) {
        Vec sums[kSumRows][kSumVectors];
        tile_sums(job.packed.panel(r / kPanelRows, k, depth) + r % kPanelRows, panel, depth, sums);
        add_tile(sums, scale, out + r * right.columns + column, right.columns, left.rows - r, columns);
      }
    }
  }
}

inline void add_product(const ProductArgs& args, const Parallel& parallel) {
  pack_left(args.left, args.packed, parallel);
  const int64_t panels = (args.right.columns + kSumColumns - 1) / kSumColumns, round = kGroupPanels * parallel.threads;
  // As many for each thread.
  ProductJob job{&args, {&args.left, args.packed}, panels, std::min(panels, (panels + round - 1) / round * parallel.threads)};
  parallel_for(parallel, product_panels, static_cast<size_t>(job.groups), &job, args.left.rows * args.right.rows * args.right.columns);
}

struct RowProductJob {
  const RowProductArgs* args;
  PackedLeft packed;
};

// A's rows are the left side and the weight's, transposed, the right one: their squares are then sums down the panel's columns.
inline void row_product_panel(void* data, size_t index) {
  const auto& job = *static_cast<const RowProductJob*>(data);
  const RowProductArgs& args = *job.args;
  const Matrix right = args.weight.transposed();
  alignas(64) float panel[kTermsAtOnce * kSumColumns];
  alignas(64) float tile[kSumColumns];
  const int64_t rank = args.a.rows, column = static_cast<int64_t>(index) * kSumColumns, columns = std::min<int64_t>(kSumColumns, right.columns - column);
  std::fill(args.products + column * rank, args.products + (column + columns) * rank, 0.0);
  if (args.squares) std::fill(args.squares + column, args.squares + column + columns, 0.0);
  for (int64_t k = 0; k < right.rows; k += kTermsAtOnce) {
    const int64_t depth = std::min(kTermsAtOnce, right.rows - k);
    read_tile(right, k, depth, column, columns, panel, kSumColumns);
    if (args.squares) {
      Vec squares[kSumVectors] = {Vec::set(0), Vec::set(0), Vec::set(0)};
      for (int64_t i = 0; i < depth; i++)
        LORIKEET_UNROLL
        for (int v = 0; v < kSumVectors; v++) {
          const Vec w = Vec::load(panel + i * kSumColumns + v * Vec::N);
          squares[v] = Vec::fma(w, w, squares[v]);
        }
      for (int v = 0; v < kSumVectors; v++) squares[v].store(tile + v * Vec::N);
      for (int64_t c = 0; c < columns; c++) args.squares[column + c] += tile[c];
    }
    for (int64_t j = 0; j < rank; j += kSumRows) {
      Vec sums[kSumRows][kSumVectors];
      tile_sums(job.packed.panel(j / kPanelRows, k, depth) + j % kPanelRows, panel, depth, sums);
      for (int64_t r = 0; r < std::min<int64_t>(kSumRows, rank - j); r++) {
        for (int v = 0; v < kSumVectors; v++) sums[r][v].store(tile + v * Vec::N);
        for (int64_t c = 0; c < columns; c++) args.products[(column + c) * rank + j + r] += tile[c];
      }
    }
  }
}

inline void row_products(const RowProductArgs& args, const Parallel& parallel) {
  pack_left(args.a, args.packed, parallel);
  RowProductJob job{&args, {&args.a, args.packed}};
  const int64_t panels = (args.weight.rows + kSumColumns - 1) / kSumColumns;
  parallel_for(parallel, row_product_panel, static_cast<size_t>(panels), &job, args.weight.rows * args.weight.columns * args.a.rows);
}

}  // namespace lorikeet::LORIKEET_ISA
