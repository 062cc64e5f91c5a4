// Sums of final hidden states. Few rows of a step are summed, so this is compiled once, for the baseline: the same bits on every machine.
#include <cmath>
#include "../kernels.h"

namespace lorikeet {
namespace {

void sum_range(const RowSumArgs& args, const RowRange& range, double* sums) {
  for (int64_t i = 0; i < args.width; i++) sums[i] = 0;
  for (int64_t t = range.first; t < int64_t{range.first} + range.count; t++) {
    const float* x = args.x + t * args.width;
    double squares = 0;
    for (int64_t i = 0; i < args.width; i++) squares += static_cast<double>(x[i]) * x[i];
    const auto scale = static_cast<float>(1 / std::sqrt(squares / static_cast<double>(args.width) + args.epsilon));
    for (int64_t i = 0; i < args.width; i++) sums[i] += x[i] * scale * args.weight[i];
  }
}

}  // namespace

void sum_normed_rows(const RowSumArgs& args, const Parallel& parallel) {
  const auto task = [](void* data, size_t r) {
    const auto& all = *static_cast<const RowSumArgs*>(data);
    sum_range(all, all.ranges[r], all.sums + static_cast<int64_t>(r) * all.width);
  };
  auto work = args;
  if (parallel.run && args.range_count > 1) return parallel.run(parallel.context, task, static_cast<size_t>(args.range_count), &work);
  for (int32_t r = 0; r < args.range_count; r++) task(&work, static_cast<size_t>(r));
}

}  // namespace lorikeet
