#pragma once
#include "custom_op.h"

namespace lorikeet {

// Logits as SampleArgs has them.
struct LogitsRows {
  float* values;
  int64_t vocab;
  const float* added = nullptr;
  int64_t added_vocab = 0;
};

// Samples each row of the logits as its slot says; the tokens become the slots' and the step's.
void sample_rows(const LogitsRows& logits, Slots& slots, const Parallel& parallel, Step& step);

// The end of the graph: samples the logits' rows as the step says (StepContext::sampling). Only token ids leave the graph. A second input has the logits of
// tokens that adapters add.
class Sample {
 public:
  static constexpr const char* name = "Sample";
  static std::vector<Arg> inputs() { return {{kFloat}, {kFloat, INPUT_OUTPUT_OPTIONAL}}; }
  static std::vector<Arg> outputs() { return {{kInt32}}; }
  static std::vector<InPlace> in_place() { return {}; }
  Sample(const StepContext& context, const OrtKernelInfo*) : context_(context) {}
  void compute(OrtKernelContext* kernel);

 private:
  const StepContext& context_;
};

}  // namespace lorikeet
