#include "gated_op.h"

namespace lorikeet::cuda {

void GatedCompute::compute(OrtKernelContext* kernel) {
  const GatedInputs in = gated_inputs(kernel, sizeof(uint16_t));
  GatedOp op;
  op.gate = in.gate;
  op.up = in.up;
  op.rows = in.rows;
  op.width = in.width;
  op.stride = in.stride;
  op.y = output_data(kernel, 0, {in.rows, in.width});
  op.dtype = context_.dtype;
  op.activation = activation_;
  const Launch& launch = context_.tokens.launch;
  must_launch(gated_activation(op, launch.multiprocessors, launch.stream), "GatedActivation");
}

}  // namespace lorikeet::cuda
