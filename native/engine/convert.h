// Weights in the type and layout that the graph wants, made while a checkpoint is loaded.
#pragma once
#include <cstddef>
#include <cstdint>
#include "../kernels/kernels.h"

namespace lorikeet {

// Converts `count` elements, rounding to nearest even, on `threads` threads.
void convert_elements(const void* from, DType from_type, void* to, DType to_type, size_t count, int threads);

// Quantizes rows [rows, columns] symmetrically in blocks of `block` columns for com.microsoft.MatMulNBits: packed [rows, columns/block, block*bits/8],
// scales [rows, columns/block] of type `scale_type`.
void quantize_rows(const void* from, DType type, int64_t rows, int64_t columns, int bits, int64_t block, uint8_t* packed, void* scales,
                   DType scale_type, int threads);

}  // namespace lorikeet
