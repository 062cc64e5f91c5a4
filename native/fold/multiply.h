// Products of whole matrices and of their elements, for adapters that are written out row by row.
#pragma once
#include "../kernels/kernels.h"

namespace lorikeet::fold {

// out += scale · left · right.  Shape: left [m, k], right [k, n], out [m, n].
void add_product(float* out, const Matrix& left, const Matrix& right, float scale, int threads);

// out ⊙= left · right, in blocks of rows.
void multiply_by_product(float* out, const Matrix& left, const Matrix& right, int threads);

// out = from.  Shape: out, from [m, n].
void read_rows(float* out, const Matrix& from, int threads);

// out ⊙= by.  Shape: out, by [m, n].
void multiply_elements(float* out, const Matrix& by, int threads);

}  // namespace lorikeet::fold
