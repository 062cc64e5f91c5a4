// Matrices as files have them, and what the folding of adapters computes with them. As kernels.h: raw pointers and shapes.
#pragma once
#include <cstddef>
#include <cstdint>
#include "../numeric/dtype.h"

namespace lorikeet {

// Element (i, j) lies `i · row_step + j · column_step` elements after `data`, at any alignment. One of the steps is 1.
struct Matrix {
  const uint8_t* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0, columns = 0, row_step = 0, column_step = 1;

  const uint8_t* at(int64_t i, int64_t j) const { return data + static_cast<int64_t>(element_size(dtype)) * (i * row_step + j * column_step); }
  Matrix transposed() const { return {data, dtype, columns, rows, column_step, row_step}; }
};

// Terms that are summed in float32 before the sum is added to what is there: each element's order of additions depends on this alone, not on threads.
constexpr int64_t kTermsAtOnce = 128;

// Semantics: out += scale · left · right.
// Shape: left [m, k]; right [k, n]; out [m, n], dense; packed: packed_left_floats(m, k) floats of room, 64-byte aligned.
// Each thread also takes about 25 kB of its stack.
struct ProductArgs {
  Matrix left, right;
  float scale = 1;
  float* out = nullptr;
  float* packed = nullptr;
};
constexpr int64_t packed_left_floats(int64_t m, int64_t k) { return (m + 15) / 16 * 16 * k; }

// Semantics: squares[o] = ‖w_o‖², products[o][j] = w_o · a_j, for the rows w_o of `weight` and a_j of `a`. Sums of kTermsAtOnce terms in float32, of those in float64.
// Shape: weight [rows, k]; a [rank, k]; squares [rows] or null; products [rows, rank]; packed as ProductArgs, of m = rank.
struct RowProductArgs {
  Matrix weight, a;
  double* squares = nullptr;
  double* products = nullptr;
  float* packed = nullptr;
};

}  // namespace lorikeet
