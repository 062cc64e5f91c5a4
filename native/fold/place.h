// Rows into an adapter's image (the kernel layout of adapters-store/types.ts): converted, transposed, scaled, rounded to nearest even.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include "../kernels/kernels.h"

namespace lorikeet::fold {

// Row i begins at byte places[2i + 1] of page places[2i]. Pages are `blocks` whole blocks, then frames.
struct Image {
  uint8_t* bytes = nullptr;
  const int32_t* places = nullptr;
  int64_t blocks = 0, block_bytes = 0, frame_bytes = 0;
  DType dtype = DType::f16;

  // Of int8 rows [at, at + count): one for each, in the row behind them.
  float* scales(int64_t at, int64_t count) const { return dtype == DType::i8 && count > 0 ? reinterpret_cast<float*>(row(at + count)) : nullptr; }

  uint8_t* row(int64_t i) const {
    const int64_t page = places[2 * i], whole = std::min(page, blocks);
    return bytes + whole * block_bytes + (page - whole) * frame_bytes + places[2 * i + 1];
  }
};

// The largest magnitude that does not round to infinity.
float largest_finite(DType dtype);

// The largest magnitude of a matrix; infinite if one of its values is infinite or no number.
float largest(const Matrix& matrix, int threads);

struct Excess {
  int64_t row;
  float a, b;  // the largest magnitudes of rows of A and of scale · B that do not fit together
};

// Rows [first_a, …) of the image become A's, rows [first_b, …) those of scale · B. For float16 each pair of rows takes reciprocal powers of two, which change no bit of
// the product, so that their largest values meet in the middle: neither overflows, nor loses digits below 2^-14. A pair that adds nothing (an untrained row) becomes zeros.
// For int8 each row is spread over ±127, and what that makes of the pair's product goes into one scale, which the row behind A's holds. Row first_a + rank is then theirs.
// Shape: a [rank, in], b [rank, out]. Returns the first pair of rows that `image.dtype` cannot hold; rows before it are written.
std::optional<Excess> place_factors(const Image& image, const Matrix& a, int64_t first_a, const Matrix& b, int64_t first_b, double scale, int threads);

// Of the `count` rows from image row `at` on, rows [first, first + rows.rows) become these; of int8 each is spread over ±127, and has its scale in image row at + count.
// Returns their largest magnitude, infinite as above.
float place_rows(const Image& image, int64_t at, int64_t count, int64_t first, const Matrix& rows, int threads);

}  // namespace lorikeet::fold
