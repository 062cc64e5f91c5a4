#pragma once
#include "custom_op.h"

namespace lorikeet {

// Beside the head: sums the final hidden states that the step asks for (StepInput::summed) into its result. What leaves the graph is one number that says nothing, so that
// the op has an output.
class SumRows {
 public:
  static constexpr const char* name = "SumRows";
  static std::vector<Arg> inputs() { return {{kFloat}, {kFloat}}; }
  static std::vector<Arg> outputs() { return {{kInt32}}; }
  static std::vector<InPlace> in_place() { return {}; }
  SumRows(const StepContext& context, const OrtKernelInfo* info) : context_(context), epsilon_(attribute_float(info, "epsilon")) {}
  void compute(OrtKernelContext* kernel);

 private:
  const StepContext& context_;
  float epsilon_;
};

}  // namespace lorikeet
