#pragma once
#include "../../kernels/cuda/gated_activation.h"
#include "../gated_activation.h"
#include "adapter_ops.h"

namespace lorikeet::cuda {

// GatedActivation on CUDA; of tokens, never of logits rows.
class GatedCompute {
 public:
  GatedCompute(const CudaStepContext& context, const OrtKernelInfo* info) : context_(context), activation_(attribute_activation(info)) {}
  void compute(OrtKernelContext* kernel);

 private:
  const CudaStepContext& context_;
  Activation activation_;
};

template <Element T>
struct CudaGatedActivation : GatedCompute {
  using GatedCompute::GatedCompute;
  static constexpr const char* name = "GatedActivation";
  static std::vector<Arg> inputs() { return {{T}, {T, INPUT_OUTPUT_OPTIONAL}}; }
  static std::vector<Arg> outputs() { return {{T}}; }
  static std::vector<InPlace> in_place() { return {{0, 0}, {1, 0}}; }
};

}  // namespace lorikeet::cuda
