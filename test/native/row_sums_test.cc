// Sums of normed rows against float64, and that a sum depends on its own rows alone. No instruction sets: each test runs once.
#include "harness.h"

namespace {
using namespace lorikeet;
using namespace lorikeet::test;

constexpr float kEpsilon = 1e-6f;

bool once(const Kernels& kernels) {
  static const char* first = kernels.name;
  return kernels.name == first;
}

struct Rows {
  int64_t rows, width;
  std::vector<float> x, weight;
  Rows(int64_t r, int64_t w) : rows(r), width(w) {
    Random random(9);
    x = random.floats(r * w);
    weight = random.floats(w);
  }
  std::vector<double> run(const std::vector<RowRange>& ranges, int threads = 1) const {
    std::vector<double> sums(ranges.size() * width, NAN);
    RowSumArgs args;
    args.x = x.data();
    args.weight = weight.data();
    args.ranges = ranges.data();
    args.sums = sums.data();
    args.width = width;
    args.range_count = static_cast<int32_t>(ranges.size());
    args.epsilon = kEpsilon;
    sum_normed_rows(args, on_threads(threads));
    return sums;
  }
  double exactly(const RowRange& range, int64_t column) const {
    double sum = 0;
    for (int64_t t = range.first; t < range.first + range.count; t++) {
      double squares = 0;
      for (int64_t i = 0; i < width; i++) squares += double(x[t * width + i]) * x[t * width + i];
      sum += x[t * width + column] / std::sqrt(squares / width + kEpsilon) * weight[column];
    }
    return sum;
  }
};

KERNEL_TEST(row_sums_against_float64) {
  if (!once(kernels)) return;
  const Rows rows(40, 67);
  const std::vector<RowRange> ranges = {{0, 1}, {1, 17}, {39, 1}, {18, 21}};
  const auto sums = rows.run(ranges);
  double worst = 0;
  for (size_t r = 0; r < ranges.size(); r++)
    for (int64_t i = 0; i < rows.width; i++) {
      const double off = std::abs(sums[r * rows.width + i] - rows.exactly(ranges[r], i)) / ranges[r].count;
      worst = off <= worst ? worst : off;
      if (std::isnan(off)) worst = INFINITY;
    }
  check(worst <= 1e-6, "off by " + std::to_string(worst));
}

KERNEL_TEST(a_row_sum_is_its_own_rows_alone) {
  if (!once(kernels)) return;
  const Rows rows(40, 67);
  const auto together = rows.run({{0, 5}, {5, 30}, {35, 5}}, 3), alone = rows.run({{5, 30}});
  check(std::equal(alone.begin(), alone.end(), together.begin() + rows.width), "beside others, on threads: the same bits");
  const auto parts = rows.run({{5, 11}, {16, 19}});
  double worst = 0;
  for (int64_t i = 0; i < rows.width; i++) worst = std::max(worst, std::abs(parts[i] + parts[rows.width + i] - alone[i]));
  check(worst <= 1e-13, "in chunks: off by " + std::to_string(worst));
}

}  // namespace
