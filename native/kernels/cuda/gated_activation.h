// GatedActivation on CUDA: act(gate) ⊙ up in one kernel. Raw device pointers and a stream; nothing allocates or synchronizes.
#pragma once
#include "../kernels.h"

struct CUstream_st;

namespace lorikeet::cuda {

// Semantics and shapes: as lorikeet::GatedArgs, in float16 or bfloat16; computed in float32 and rounded once.
struct GatedOp {
  const void* gate = nullptr;
  const void* up = nullptr;
  void* y = nullptr;
  int64_t rows = 0, width = 0, stride = 0;
  DType dtype = DType::f16;
  Activation activation = Activation::silu;
};

// Returns a cudaError_t (0 = launched).
int gated_activation(const GatedOp& op, int32_t multiprocessors, CUstream_st* stream);

}  // namespace lorikeet::cuda
