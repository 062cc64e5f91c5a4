#include "multiply.h"
#include <algorithm>
#include <memory>
#include "packed.h"
#include "threads.h"

namespace lorikeet::fold {
namespace {

// Rows whose second product is held beside the first.
constexpr int64_t kBlockRows = 256;
constexpr int64_t kTileColumns = 256;

void multiply_rows(float* out, const Matrix& by, int64_t first, int64_t last) {
  alignas(64) float tile[kTileColumns];
  for (int64_t row = first; row < last; row++)
    for (int64_t column = 0; column < by.columns; column += kTileColumns) {
      const int64_t columns = std::min(kTileColumns, by.columns - column);
      kernels().read_tile(by, row, 1, column, columns, tile, kTileColumns);
      float* at = out + row * by.columns + column;
      for (int64_t i = 0; i < columns; i++) at[i] *= tile[i];
    }
}

}  // namespace

void add_product(float* out, const Matrix& left, const Matrix& right, float scale, int threads) {
  const Threads workers(threads, left.rows * right.rows * right.columns);
  const Packed packed(left.rows, left.columns);
  kernels().add_product({left, right, scale, out, packed.data()}, workers.parallel());
}

void multiply_by_product(float* out, const Matrix& left, const Matrix& right, int threads) {
  const int64_t width = right.columns;
  std::unique_ptr<float[]> product(new float[static_cast<size_t>(std::min(kBlockRows, left.rows) * width)]);
  for (int64_t row = 0; row < left.rows; row += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, left.rows - row);
    Matrix block = left;
    block.data = left.at(row, 0);
    block.rows = rows;
    std::fill_n(product.get(), rows * width, 0.0f);
    add_product(product.get(), block, right, 1, threads);
    for (int64_t i = 0; i < rows * width; i++) out[row * width + i] *= product[i];
  }
}

void multiply_elements(float* out, const Matrix& by, int threads) {
  const Threads workers(threads, kElementWork * by.rows * by.columns);
  constexpr int64_t kRows = 16;
  each(workers, (by.rows + kRows - 1) / kRows, [&](int64_t part) { multiply_rows(out, by, part * kRows, std::min(by.rows, (part + 1) * kRows)); });
}

}  // namespace lorikeet::fold
