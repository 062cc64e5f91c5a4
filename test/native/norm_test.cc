// AddNorm against float64, and that a row's bits depend on nothing but the row.
#include "harness.h"

namespace {
using namespace lorikeet;
using namespace lorikeet::test;

struct Rows {
  int64_t rows, width;
  std::vector<float> x, y, weight;
  Rows(int64_t r, int64_t w) : rows(r), width(w) {
    Random random(static_cast<uint64_t>(17 * r + w));
    x = random.floats(rows * width);
    y = random.floats(rows * width);
    weight = random.floats(width);
    for (int64_t t = 0; t < rows; t++)
      for (int64_t i = 0; i < width; i++) x[t * width + i] *= std::exp(static_cast<float>(t % 7) - 3);
  }
  NormArgs args(std::vector<float>& sum, std::vector<float>& normed) const {
    sum.assign(rows * width, NAN);
    normed.assign(rows * width, NAN);
    return {x.data(), y.data(), weight.data(), sum.data(), normed.data(), rows, width, 1e-5f};
  }
};

KERNEL_TEST(add_norm_against_float64) {
  for (const int64_t width : {1, 15, 64, 100, 576, 1237})
    for (const bool adds : {true, false}) {
      const Rows batch(5, width);
      std::vector<float> sum, normed;
      NormArgs args = batch.args(sum, normed);
      if (!adds) args.y = nullptr, args.sum = nullptr;
      kernels.add_norm(args, on_threads(1));
      double worst = 0;
      for (int64_t t = 0; t < batch.rows; t++) {
        std::vector<double> row(width);
        double squares = 0;
        for (int64_t i = 0; i < width; i++) {
          row[i] = double{batch.x[t * width + i]} + (adds ? batch.y[t * width + i] : 0);
          squares += row[i] * row[i];
          if (adds) worst = std::max(worst, std::abs(sum[t * width + i] - row[i]) / (1e-6 + std::abs(row[i])) / 10);
        }
        const double scale = 1 / std::sqrt(squares / double(width) + 1e-5);
        for (int64_t i = 0; i < width; i++) {
          const double wanted = row[i] * scale * batch.weight[i];
          // A sum that cancels keeps the rounding of what was added.
          worst = std::max(worst, std::abs(normed[t * width + i] - wanted) / (std::abs(wanted) + scale * std::abs(batch.weight[i]) + 1e-6));
        }
      }
      check(worst <= 2e-6, std::to_string(width) + " wide: off by " + std::to_string(worst));
    }
}

KERNEL_TEST(add_norm_alone_in_place_and_on_threads) {
  const Rows batch(203, 336);  // worth more threads than one
  std::vector<float> sum, normed;
  kernels.add_norm(batch.args(sum, normed), on_threads(3));
  for (const int64_t t : {0, 1, 7, 100, 202}) {
    std::vector<float> one_sum(batch.width), one(batch.width);
    const int64_t at = t * batch.width;
    kernels.add_norm({batch.x.data() + at, batch.y.data() + at, batch.weight.data(), one_sum.data(), one.data(), 1, batch.width, 1e-5f}, on_threads(1));
    check(std::equal(one.begin(), one.end(), normed.begin() + at) && std::equal(one_sum.begin(), one_sum.end(), sum.begin() + at), "row " + std::to_string(t) + " alone");
  }
  std::vector<float> x = batch.x, y = batch.y;
  kernels.add_norm({x.data(), y.data(), batch.weight.data(), x.data(), y.data(), batch.rows, batch.width, 1e-5f}, on_threads(2));
  check(x == sum && y == normed, "in place of both inputs");
}

}  // namespace
