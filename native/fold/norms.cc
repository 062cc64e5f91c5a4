#include "norms.h"
#include <algorithm>
#include <vector>
#include "packed.h"
#include "threads.h"

namespace lorikeet::fold {
namespace {

// The result may be so much smaller than its terms before they count as cancelled.
constexpr double kCancelled = 1.0 / 16;
// Outside of these, float32 products may have been lost as subnormal or infinite.
constexpr double kSmallest = 1e-25, kLargest = 1e30;

// Row i of a matrix as floats, in steps of a kernel's width.
std::vector<float> row_of(const Matrix& m, int64_t i) {
  const int64_t width = (m.columns + 15) / 16 * 16;
  std::vector<float> row(static_cast<size_t>(width));
  kernels().read_tile(m, i, 1, 0, m.columns, row.data(), width);
  return row;
}

double direct(const Matrix& weight, int64_t o, const Matrix& a, const float* b, double scale) {
  const auto w = row_of(weight, o);
  std::vector<double> sum(w.begin(), w.end());
  for (int64_t j = 0; j < a.rows; j++) {
    const auto row = row_of(a, j);
    for (size_t i = 0; i < sum.size(); i++) sum[i] += scale * b[j] * row[i];
  }
  double square = 0;
  for (double x : sum) square += x * x;
  return square;
}

}  // namespace

void square_norms(const Matrix& weight, const Matrix& a, const Matrix& b, double scale, double* squares, int threads) {
  const int64_t out = weight.rows, rank = a.rows;
  const Threads workers(threads, out * weight.columns * rank);
  const Packed packed(rank, a.columns);
  std::vector<double> gram(static_cast<size_t>(rank * rank)), products(static_cast<size_t>(out * rank));
  kernels().row_products({a, a, nullptr, gram.data(), packed.data()}, workers.parallel());
  kernels().row_products({weight, a, squares, products.data(), packed.data()}, workers.parallel());
  constexpr int64_t kRows = 256;
  each(workers, (out + kRows - 1) / kRows, [&](int64_t part) {
    for (int64_t o = part * kRows; o < std::min(out, (part + 1) * kRows); o++) {
      const auto factors = row_of(b, o);
      double cross = 0, own = 0;
      for (int64_t j = 0; j < rank; j++) {
        cross += factors[j] * products[o * rank + j];
        double half = 0;
        for (int64_t k = 0; k < j; k++) half += factors[k] * gram[j * rank + k];
        own += factors[j] * (2 * half + factors[j] * gram[j * rank + j]);
      }
      const double terms = squares[o] + scale * scale * own, sum = terms + 2 * scale * cross;
      if (!(terms > kSmallest && terms < kLargest && sum > kCancelled * terms)) squares[o] = direct(weight, o, a, factors.data(), scale);
      else squares[o] = sum;
    }
  });
}

}  // namespace lorikeet::fold
