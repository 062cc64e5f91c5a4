// SumRows on CUDA. Raw device pointers and a stream; nothing allocates or synchronizes.
#pragma once
#include "../kernels.h"

struct CUstream_st;

namespace lorikeet::cuda {

// Semantics and shapes: as lorikeet::RowSumArgs, x and weight in float16 or bfloat16; scales [rows] is scratch.
struct RowSumOp {
  const void* x = nullptr;
  const void* weight = nullptr;
  const RowRange* ranges = nullptr;
  double* sums = nullptr;
  float* scales = nullptr;
  int64_t rows = 0, width = 0;
  int32_t range_count = 0;
  float epsilon = 0;
  DType dtype = DType::f16;
};

// Returns a cudaError_t (0 = launched).
int sum_normed_rows(const RowSumOp& op, CUstream_st* stream);

}  // namespace lorikeet::cuda
