// Weights in the type and layout that the graph wants, made while a checkpoint is loaded. Sources may lie at any address.
#pragma once
#include <cstddef>
#include <cstdint>
#include "dtype.h"

namespace lorikeet {

// Converts `count` elements on `threads` threads, rounding to nearest even; what exceeds float16 becomes infinite. Of one type: copies them.
void convert_elements(const void* from, DType from_type, void* to, DType to_type, size_t count, int threads);

// Blocks of a row for MatMulNBits; the last may be cut short.
inline int64_t block_count(int64_t columns, int64_t block) { return (columns + block - 1) / block; }

// Quantizes a matrix [rows, columns] for com.microsoft.MatMulNBits, symmetrically and with a scale for each `block` columns of a row:
//   w ≈ scale · (q − 2^(bits−1)),  q in [0, 2^bits), the op's default zero point.
// packed: [rows, blocks, block * bits / 8], of two 4-bit numbers in a byte the first in the low half; scales: [rows, blocks] of `scale_type`.
// A block that is cut short is filled up with zeros. A block that holds NaN or infinity gets NaN as its scale. block: even, 256 at most; bits: 4 or 8.
// For each block several scales about extreme / −2^(bits−1), the usual one, are tried, each corrected to the scale that leaves the least squared error
// with the integers so found, and the best is taken: about 11% less squared error with 4 bits.
void quantize_rows(const void* from, DType type, int64_t rows, int64_t columns, int bits, int64_t block, uint8_t* packed, void* scales,
                   DType scale_type, int threads);

}  // namespace lorikeet
