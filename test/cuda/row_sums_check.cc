#include "row_sums_check.h"
#include "kernels/cuda/row_sums.h"
#include "world.h"

namespace lorikeet::test {
namespace {

constexpr float kEpsilon = 1e-6f;

void check_one(DType type, int32_t rows, int32_t width, const std::vector<RowRange>& ranges, const std::string& what) {
  Random random(21);
  std::vector<uint16_t> x, weight;
  for (int64_t i = 0; i < int64_t(rows) * width; i++) x.push_back(stored_bits(3 * random.uniform(), type));
  for (int32_t i = 0; i < width; i++) weight.push_back(stored_bits(1 + random.uniform(), type));
  OnDevice<uint16_t> on_device(x), weights(weight);
  OnDevice<RowRange> places(ranges);
  OnDevice<double> sums(ranges.size() * width);
  OnDevice<float> scales(rows);
  cuda::RowSumOp op;
  op.x = on_device.data();
  op.weight = weights.data();
  op.ranges = places.data();
  op.sums = sums.data();
  op.scales = scales.data();
  op.rows = rows;
  op.width = width;
  op.range_count = static_cast<int32_t>(ranges.size());
  op.epsilon = kEpsilon;
  op.dtype = type;
  must(cuda::sum_normed_rows(op, nullptr), "sum_normed_rows");
  const std::vector<double> found = sums.get();
  double worst = 0;
  for (size_t r = 0; r < ranges.size(); r++) {
    std::vector<double> wanted(width), size(width);
    for (int32_t t = ranges[r].first; t < ranges[r].first + ranges[r].count; t++) {
      double squares = 0;
      const auto at = [&](int32_t i) { return restored(x[int64_t(t) * width + i], type); };
      for (int32_t i = 0; i < width; i++) squares += at(i) * at(i);
      for (int32_t i = 0; i < width; i++) {
        const double term = at(i) / std::sqrt(squares / width + kEpsilon) * restored(weight[i], type);
        wanted[i] += term;
        size[i] += std::abs(term);
      }
    }
    for (int32_t i = 0; i < width; i++) {
      const double off = std::abs(found[r * width + i] - wanted[i]) / (3e-7 * size[i] + 1e-30);
      worst = off <= worst ? worst : off;
      if (!(off <= 1)) worst = INFINITY;
    }
  }
  check(worst <= 1, what + ": a sum is off by " + std::to_string(worst) + " of what rounding allows");
}

}  // namespace

void check_row_sums(bool thorough) {
  for (const DType type : {DType::f16, DType::bf16})
    for (const int32_t width : {thorough ? 4096 : 96, 75, 1}) {
      const std::string name = (type == DType::f16 ? "f16, " : "bf16, ") + std::to_string(width) + " wide";
      check_one(type, 23, width, {{0, 1}, {3, 19}, {22, 1}}, name);
      check_one(type, 1, width, {{0, 1}}, name + ", one row");
    }
}

}  // namespace lorikeet::test
