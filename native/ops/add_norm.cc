#include "add_norm.h"

namespace lorikeet {

void AddNorm::compute(OrtKernelContext* kernel) {
  const Dims x = input_dims(kernel, 0);
  NormArgs args;
  args.rows = x[0];
  args.width = x[1];
  args.epsilon = epsilon_;
  if (input_dims(kernel, 1)[0] != args.width) throw std::invalid_argument("AddNorm: the weight is not as long as a row");
  args.x = input<float>(kernel, 0);
  args.weight = input<float>(kernel, 1);
  args.normed = output(kernel, 0, args.rows, args.width);
  if (input_count(kernel) > 2) {
    const Dims y = input_dims(kernel, 2);
    if (y[0] != args.rows || y[1] != args.width) throw std::invalid_argument("AddNorm: what is added has another shape than x");
    args.y = input<float>(kernel, 2);
    args.sum = output(kernel, 1, args.rows, args.width);
  }
  kernels().add_norm(args, parallel_of(kernel, context_.threads));
}

}  // namespace lorikeet
