#pragma once
#include "adapter_ops.h"

namespace lorikeet::cuda {

// The end of the graph: samples the logits' rows as the step says. Token ids, logprobs and the rest lie in the step's results, which one copy brings.
class SampleCompute {
 public:
  SampleCompute(const CudaStepContext& context, const OrtKernelInfo*) : context_(context) {}
  void compute(OrtKernelContext* kernel);

 private:
  const CudaStepContext& context_;
};

template <Element T>
struct CudaSample : SampleCompute {
  using SampleCompute::SampleCompute;
  static constexpr const char* name = "Sample";
  static std::vector<Arg> inputs() { return {{T}}; }
  static std::vector<Arg> outputs() { return {{kInt32}}; }
  static std::vector<InPlace> in_place() { return {}; }
};

}  // namespace lorikeet::cuda
