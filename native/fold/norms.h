// Squared norms of rows of W + s B A, for DoRA.
#pragma once
#include "../kernels/kernels.h"

namespace lorikeet::fold {

// squares[o] = ‖w_o + s Σ_j b_oj a_j‖².  Shape: weight [out, in]; a [rank, in]; b [out, rank]; squares [out].
// Expanded, so that only W Aᵀ touches the weights, rank products each, and W + s B A is never written out:
//     ‖w_o‖² + 2 s Σ_j b_oj (w_o · a_j) + s² Σ_j Σ_k b_oj b_ok (a_j · a_k)
// Relative errors of some 1e-7 of the largest term. A row whose terms cancel is computed once more as it is written on the left, in float64.
void square_norms(const Matrix& weight, const Matrix& a, const Matrix& b, double scale, double* squares, int threads);

}  // namespace lorikeet::fold
