#include "place.h"
#include <algorithm>
#include <cmath>
#include <vector>
#include "threads.h"

namespace lorikeet::fold {
namespace {

// A tile of 64 kB stays in the cache between reading and writing; its rows are whole cache lines of any type.
constexpr int64_t kTileRows = 64, kTileColumns = 256;

// visit(i, column, columns, values) for pieces of the rows i in [first, last).
template <typename Visit>
void each_piece(const Matrix& m, int64_t first, int64_t last, const Visit& visit) {
  alignas(64) float tile[kTileRows * kTileColumns];
  for (int64_t row = first; row < last; row += kTileRows) {
    const int64_t rows = std::min(kTileRows, last - row);
    for (int64_t column = 0; column < m.columns; column += kTileColumns) {
      const int64_t columns = std::min(kTileColumns, m.columns - column);
      kernels().read_tile(m, row, rows, column, columns, tile, kTileColumns);
      for (int64_t r = 0; r < rows; r++) visit(row + r, column, columns, tile + r * kTileColumns);
    }
  }
}

// In parts of kTileRows rows.
template <typename Visit>
void each_piece_on(const Threads& threads, const Matrix& m, const Visit& visit) {
  each(threads, (m.rows + kTileRows - 1) / kTileRows,
       [&](int64_t part) { each_piece(m, part * kTileRows, std::min(m.rows, (part + 1) * kTileRows), visit); });
}

std::vector<float> largest_of_rows(const Threads& threads, const Matrix& m) {
  std::vector<float> most(static_cast<size_t>(m.rows));
  each_piece_on(threads, m, [&](int64_t row, int64_t, int64_t columns, const float* values) {
    most[row] = std::max(most[row], kernels().largest_magnitude(values, columns));
  });
  return most;
}

void write_rows(const Threads& threads, const Image& image, int64_t first, const Matrix& m, const float* factors) {
  each_piece_on(threads, m, [&](int64_t row, int64_t column, int64_t columns, const float* values) {
    uint8_t* to = image.row(first + row) + static_cast<int64_t>(element_size(image.dtype)) * column;
    kernels().write_row(values, columns, factors ? factors[row] : 1, image.dtype, to);
  });
}

// By what a row is multiplied so that its largest magnitude becomes 127; 0 where that is no float: a row that small is zeros.
float spread(float most) {
  const float factor = 127 / most;
  return std::isfinite(factor) ? factor : 0;
}

}  // namespace

float largest_finite(DType dtype) { return dtype == DType::f16 ? 65504.0f : dtype == DType::bf16 ? 0x1.fep127f : 0x1.fffffep127f; }  // int8: what its scale can be

float largest(const Matrix& matrix, int threads) {
  const auto most = largest_of_rows(Threads(threads, kElementWork * matrix.rows * matrix.columns), matrix);
  return most.empty() ? 0 : *std::max_element(most.begin(), most.end());
}

std::optional<Excess> place_factors(const Image& image, const Matrix& a, int64_t first_a, const Matrix& b, int64_t first_b, double scale, int threads) {
  const Threads workers(threads, kElementWork * a.rows * (a.columns + b.columns));
  const auto of_a = largest_of_rows(workers, a), of_b = largest_of_rows(workers, b);
  std::vector<float> factors_a(of_a.size()), factors_b(of_b.size());
  float* const scales = image.scales(first_a, a.rows);
  for (size_t j = 0; j < of_a.size(); j++) {
    if (scales) scales[j] = 0;
    const double most_a = of_a[j], most_b = of_b[j] * std::abs(scale);
    const bool finite = std::isfinite(most_a) && std::isfinite(most_b);
    if (finite && (most_a == 0 || most_b == 0)) continue;
    const double shift = image.dtype == DType::f16 ? std::exp2(std::floor((std::log2(most_a) - std::log2(most_b)) / 2 + 0.5)) : 1;
    const double limit = largest_finite(image.dtype);
    if (!finite || !(most_a / shift <= limit && most_b * shift <= limit)) return Excess{static_cast<int64_t>(j), of_a[j], static_cast<float>(most_b)};
    if (scales) {
      const double worth = scale * (of_a[j] / 127.0) * (of_b[j] / 127.0);
      if (!(std::abs(worth) <= limit)) return Excess{static_cast<int64_t>(j), of_a[j], static_cast<float>(most_b)};
      factors_a[j] = spread(of_a[j]);
      factors_b[j] = spread(of_b[j]);
      scales[j] = static_cast<float>(worth);
      continue;
    }
    factors_a[j] = static_cast<float>(1 / shift);
    factors_b[j] = static_cast<float>(scale * shift);
  }
  write_rows(workers, image, first_a, a, factors_a.data());
  write_rows(workers, image, first_b, b, factors_b.data());
  return std::nullopt;
}

float place_rows(const Image& image, int64_t at, int64_t count, int64_t first, const Matrix& rows, int threads) {
  const Threads workers(threads, kElementWork * rows.rows * rows.columns);
  const auto most = largest_of_rows(workers, rows);
  const float overall = most.empty() ? 0 : *std::max_element(most.begin(), most.end());
  float* const scales = image.scales(at, count);
  std::vector<float> factors;
  if (scales)
    for (size_t j = 0; j < most.size(); j++) {
      factors.push_back(std::isfinite(most[j]) ? spread(most[j]) : 0);
      scales[first + static_cast<int64_t>(j)] = factors[j] > 0 ? most[j] / 127 : 0;
    }
  write_rows(workers, image, at + first, rows, scales ? factors.data() : nullptr);
  return overall;
}

}  // namespace lorikeet::fold
