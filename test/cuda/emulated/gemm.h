// Gemm in float16 on the host: ONNX Runtime's CPU provider has a kernel for it that converts every number at every use, a hundred times slower.
#pragma once
#include <cstdint>

namespace lorikeet::emulated {

// y [rows, out] = x [rows, in] w [out, in]ᵀ + bias [out] (null: none), float32 sums. A row's bits do not depend on the others.
// `w` is decoded once and kept by its address: it must stay as it is.
void gemm(const uint16_t* x, const uint16_t* w, const uint16_t* bias, int64_t rows, int64_t in, int64_t out, uint16_t* y);

}  // namespace lorikeet::emulated
