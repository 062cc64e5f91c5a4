#include "sample_op.h"

namespace lorikeet::cuda {

void SampleCompute::compute(OrtKernelContext* kernel) {
  const Dims logits = input_dims(kernel, 0);
  const SampleShape& shape = context_.sample_shape;
  if (logits[0] != shape.rows || logits[1] != shape.vocab) throw std::invalid_argument("Sample: the logits are not the step's");
  SampleOp op = context_.sample;
  op.logits = input<void>(kernel, 0);
  op.tokens = static_cast<int32_t*>(output_data(kernel, 0, {logits[0]}));
  must_launch(sample(op, shape, context_.tokens.launch.stream), "Sample");
}

}  // namespace lorikeet::cuda
