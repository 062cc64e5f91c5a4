#pragma once
#include "adapter_ops.h"

namespace lorikeet::cuda {

// SumRows on CUDA: where the step asks for sums of hidden states. Such a step is never captured, and in those that are this launches nothing.
class SumCompute {
 public:
  SumCompute(const CudaStepContext& context, const OrtKernelInfo* info) : context_(context), epsilon_(attribute_float(info, "epsilon")) {}
  void compute(OrtKernelContext* kernel);

 private:
  const CudaStepContext& context_;
  float epsilon_;
};

template <Element T>
struct CudaSumRows : SumCompute {
  using SumCompute::SumCompute;
  static constexpr const char* name = "SumRows";
  static std::vector<Arg> inputs() { return {{T}, {T}}; }
  static std::vector<Arg> outputs() { return {{kInt32}}; }
  static std::vector<InPlace> in_place() { return {}; }
};

}  // namespace lorikeet::cuda
