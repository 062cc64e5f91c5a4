// Products of weights that the engine packed, and rows of a packed table.
#pragma once
#include "../kernels/linear.h"
#include "custom_op.h"

namespace lorikeet {

// y_p = x W_pᵀ + bias_p for one to three weights, of which attribute `weights` has the places in the engine's table.
class Linear {
 public:
  static constexpr const char* name = "Linear";
  static std::vector<Arg> inputs() {
    return {{kFloat}, {kFloat, INPUT_OUTPUT_OPTIONAL}, {kFloat, INPUT_OUTPUT_OPTIONAL}, {kFloat, INPUT_OUTPUT_OPTIONAL}};
  }
  static std::vector<Arg> outputs() { return {{kFloat, INPUT_OUTPUT_VARIADIC}}; }
  static std::vector<InPlace> in_place() { return {}; }
  Linear(const StepContext& context, const OrtKernelInfo* info);
  void compute(OrtKernelContext* kernel);

 private:
  const StepContext& context_;
  std::vector<PackedWeight> weights_;
};

// Rows `ids` of the weight at place `weight`, as floats.
class PackedEmbedding {
 public:
  static constexpr const char* name = "PackedEmbedding";
  static std::vector<Arg> inputs() { return {{kInt32}}; }
  static std::vector<Arg> outputs() { return {{kFloat}}; }
  static std::vector<InPlace> in_place() { return {}; }
  PackedEmbedding(const StepContext& context, const OrtKernelInfo* info);
  void compute(OrtKernelContext* kernel);

 private:
  PackedWeight table_;
};

}  // namespace lorikeet
