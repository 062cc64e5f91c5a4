#include "gated_activation.h"

namespace lorikeet {

Activation attribute_activation(const OrtKernelInfo* info) {
  const std::string name = attribute_string(info, "activation");
  if (name == "silu") return Activation::silu;
  if (name == "gelu_tanh") return Activation::gelu_tanh;
  if (name == "gelu") return Activation::gelu;
  if (name == "relu") return Activation::relu;
  throw std::invalid_argument("GatedActivation: activation must be silu, gelu_tanh, gelu or relu, not " + name);
}

GatedInputs gated_inputs(const OrtKernelContext* kernel, size_t element) {
  const Dims gate = input_dims(kernel, 0);
  GatedInputs in;
  in.gate = input<uint8_t>(kernel, 0);
  in.up = input_count(kernel) > 1 ? input<uint8_t>(kernel, 1) : nullptr;
  in.rows = gate[0];
  in.width = in.stride = gate[1];
  if (in.up) {
    const Dims up = input_dims(kernel, 1);
    if (up[0] != gate[0] || up[1] != gate[1]) throw std::invalid_argument("GatedActivation: gate and up differ in shape");
    return in;
  }
  if (gate[1] % 2) throw std::invalid_argument("GatedActivation: the packed input's width is odd");
  in.width /= 2;
  in.up = static_cast<const uint8_t*>(in.gate) + in.width * element;
  return in;
}

void GatedActivation::compute(OrtKernelContext* kernel) {
  const GatedInputs in = gated_inputs(kernel, sizeof(float));
  GatedArgs args;
  args.gate = static_cast<const float*>(in.gate);
  args.up = static_cast<const float*>(in.up);
  args.rows = in.rows;
  args.width = in.width;
  args.stride = in.stride;
  args.y = output(kernel, 0, in.rows, in.width);
  args.activation = activation_;
  kernels().gated_activation(args, parallel_of(kernel, context_.threads));
}

}  // namespace lorikeet
