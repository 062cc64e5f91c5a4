#pragma once
#include "custom_op.h"

namespace lorikeet {

// Samples each row of `logits` [rows, vocab] as its slot says; the tokens become the slots' and the step's.
void sample_rows(float* logits, int64_t vocab, Slots& slots, const Parallel& parallel, Step& step);

// The end of the graph: samples the logits' rows as the step says (StepContext::sampling). Only token ids leave the graph.
class Sample {
 public:
  static constexpr const char* name = "Sample";
  static std::vector<Arg> inputs() { return {{kFloat}}; }
  static std::vector<Arg> outputs() { return {{kInt32}}; }
  static std::vector<InPlace> in_place() { return {}; }
  Sample(const StepContext& context, const OrtKernelInfo*) : context_(context) {}
  void compute(OrtKernelContext* kernel);

 private:
  const StepContext& context_;
};

}  // namespace lorikeet
