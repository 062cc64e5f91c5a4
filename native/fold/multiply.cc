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

// visit(place in a dense matrix of this shape, values, count) for pieces of its rows.
template <typename Visit>
void each_piece(const Matrix& m, int threads, const Visit& visit) {
  constexpr int64_t kRows = 16;  // of a matrix that lies there as columns, a cache line
  const Threads workers(threads, kElementWork * m.rows * m.columns);
  each(workers, (m.rows + kRows - 1) / kRows, [&](int64_t part) {
    alignas(64) float tile[kRows * kTileColumns];
    const int64_t first = part * kRows, rows = std::min(kRows, m.rows - first);
    for (int64_t column = 0; column < m.columns; column += kTileColumns) {
      const int64_t columns = std::min(kTileColumns, m.columns - column);
      kernels().read_tile(m, first, rows, column, columns, tile, kTileColumns);
      for (int64_t r = 0; r < rows; r++) visit((first + r) * m.columns + column, tile + r * kTileColumns, columns);
    }
  });
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

void read_rows(float* out, const Matrix& from, int threads) {
  each_piece(from, threads, [&](int64_t at, const float* values, int64_t count) { std::copy_n(values, count, out + at); });
}

void multiply_elements(float* out, const Matrix& by, int threads) {
  each_piece(by, threads, [&](int64_t at, const float* values, int64_t count) {
    for (int64_t i = 0; i < count; i++) out[at + i] *= values[i];
  });
}

}  // namespace lorikeet::fold
