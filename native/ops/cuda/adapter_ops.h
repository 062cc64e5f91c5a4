// BatchedLora, ScaleInput and BatchedEmbedding on CUDA. The segments come from the step's context, not from graph inputs (docs/graph.md).
#pragma once
#include <array>
#include <stdexcept>
#include <string>
#include "../custom_op.h"
#include "step_context.h"

namespace lorikeet::cuda {

// Elements of activations: ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 or BFLOAT16.
using Element = ONNXTensorElementDataType;

void must_launch(int error, const char* op);
// The op's output [rows, width], holding input `in`: the same buffer when ONNX Runtime let the output take it over.
void* carried(OrtKernelContext* kernel, size_t in, size_t out, device::Stream stream);

class AdapterOp {
 public:
  AdapterOp(const CudaStepContext& context, const OrtKernelInfo* info);
  const AdapterRows& rows() const { return on_logits_ ? context_.logits : context_.tokens; }

 protected:
  const CudaStepContext& context_;
  bool on_logits_;
};

// The products are matrices of their own, or the columns of one, as wide as attribute `widths` says.
class LoraCompute : public AdapterOp {
 public:
  LoraCompute(const CudaStepContext& context, const OrtKernelInfo* info);
  void compute(OrtKernelContext* kernel);

 private:
  void* product(OrtKernelContext* kernel, size_t i, int64_t x_rows, int64_t width) const;
  std::vector<int64_t> sites_, widths_;
};

class ScaleCompute : public AdapterOp {
 public:
  ScaleCompute(const CudaStepContext& context, const OrtKernelInfo* info) : AdapterOp(context, info), site_(attribute_int(info, "site")) {}
  void compute(OrtKernelContext* kernel);

 private:
  int64_t site_;
};

class EmbeddingCompute : public AdapterOp {
 public:
  EmbeddingCompute(const CudaStepContext& context, const OrtKernelInfo* info);
  void compute(OrtKernelContext* kernel);

 private:
  std::vector<int64_t> sites_;  // the table's, and that of added tokens where there may be any
};

template <Element T>
struct CudaBatchedLora : LoraCompute {
  using LoraCompute::LoraCompute;
  static constexpr const char* name = "BatchedLora";
  static std::vector<Arg> inputs() { return {{T}, {T, INPUT_OUTPUT_VARIADIC}}; }
  static std::vector<Arg> outputs() { return {{T, INPUT_OUTPUT_VARIADIC}}; }
  static std::vector<InPlace> in_place() { return {{1, 0}, {2, 1}, {3, 2}}; }
};

template <Element T>
struct CudaScaleInput : ScaleCompute {
  using ScaleCompute::ScaleCompute;
  static constexpr const char* name = "ScaleInput";
  static std::vector<Arg> inputs() { return {{T}}; }
  static std::vector<Arg> outputs() { return {{T}}; }
  static std::vector<InPlace> in_place() { return {{0, 0}}; }
};

template <Element T>
struct CudaBatchedEmbedding : EmbeddingCompute {
  using EmbeddingCompute::EmbeddingCompute;
  static constexpr const char* name = "BatchedEmbedding";
  static std::vector<Arg> inputs() { return {{kInt32}, {T}}; }
  static std::vector<Arg> outputs() { return {{T}}; }
  static std::vector<InPlace> in_place() { return {{1, 0}}; }
};

}  // namespace lorikeet::cuda
