#pragma once
#include "custom_op.h"

namespace lorikeet {

// A residual sum and its RMS norm: inputs x, weight and what is added (absent: nothing is); outputs the norm, and the sum where there is one.
class AddNorm {
 public:
  static constexpr const char* name = "AddNorm";
  static std::vector<Arg> inputs() { return {{kFloat}, {kFloat}, {kFloat, INPUT_OUTPUT_OPTIONAL}}; }
  static std::vector<Arg> outputs() { return {{kFloat}, {kFloat, INPUT_OUTPUT_OPTIONAL}}; }
  // Each buffer is read before it is written, row by row.
  static std::vector<InPlace> in_place() { return {{2, 0}, {0, 1}}; }
  AddNorm(const StepContext& context, const OrtKernelInfo* info) : context_(context), epsilon_(attribute_float(info, "epsilon")) {}
  void compute(OrtKernelContext* kernel);

 private:
  const StepContext& context_;
  float epsilon_;
};

}  // namespace lorikeet
