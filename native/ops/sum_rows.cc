#include "sum_rows.h"

namespace lorikeet {

void SumRows::compute(OrtKernelContext* kernel) {
  *static_cast<int32_t*>(output_data(kernel, 0, {1})) = 0;
  Step& step = *context_.step;
  const std::vector<RowRange>& ranges = step.input.summed;
  if (ranges.empty()) return;
  const Dims x = input_dims(kernel, 0);
  if (x[0] != step.input.tokens() || input_dims(kernel, 1)[0] != x[1]) throw std::invalid_argument("SumRows: the rows are not the step's tokens");
  step.result.sums.resize(ranges.size() * static_cast<size_t>(x[1]));
  RowSumArgs args;
  args.x = input<float>(kernel, 0);
  args.weight = input<float>(kernel, 1);
  args.ranges = ranges.data();
  args.sums = step.result.sums.data();
  args.width = x[1];
  args.range_count = static_cast<int32_t>(ranges.size());
  args.epsilon = epsilon_;
  sum_normed_rows(args, parallel_of(kernel, context_.threads));
}

}  // namespace lorikeet
