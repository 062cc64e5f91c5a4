// GatedActivation: act(gate) ⊙ up, of two inputs, or of one that holds both, gate before up.
#pragma once
#include "custom_op.h"

namespace lorikeet {

// Attribute `activation`.
Activation attribute_activation(const OrtKernelInfo* info);

// The op's inputs, whatever their type.
struct GatedInputs {
  const void* gate = nullptr;
  const void* up = nullptr;
  int64_t rows = 0, width = 0, stride = 0;
};
// `element`: bytes of one. Throws std::invalid_argument.
GatedInputs gated_inputs(const OrtKernelContext* kernel, size_t element);

class GatedActivation {
 public:
  static constexpr const char* name = "GatedActivation";
  static std::vector<Arg> inputs() { return {{kFloat}, {kFloat, INPUT_OUTPUT_OPTIONAL}}; }
  static std::vector<Arg> outputs() { return {{kFloat}}; }
  static std::vector<InPlace> in_place() { return {{0, 0}, {1, 0}}; }
  GatedActivation(const StepContext& context, const OrtKernelInfo* info) : context_(context), activation_(attribute_activation(info)) {}
  void compute(OrtKernelContext* kernel);

 private:
  const StepContext& context_;
  Activation activation_;
};

}  // namespace lorikeet
