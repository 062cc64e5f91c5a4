#include "cuda_ops.h"
#include "adapter_ops.h"
#include "gated_op.h"
#include "sample_op.h"
#include "sum_op.h"

namespace lorikeet::cuda {
namespace {

template <Element T>
struct OpsOf {
  OpsOf(const CudaStepContext& context, const char* provider)
      : lora(context, provider), scale(context, provider), embedding(context, provider), gated(context, provider), sample(context, provider), sums(context, provider) {}
  std::vector<const OrtCustomOp*> all() const { return {&lora, &scale, &embedding, &gated, &sample, &sums}; }
  CustomOp<CudaBatchedLora<T>, CudaStepContext> lora;
  CustomOp<CudaScaleInput<T>, CudaStepContext> scale;
  CustomOp<CudaBatchedEmbedding<T>, CudaStepContext> embedding;
  CustomOp<CudaGatedActivation<T>, CudaStepContext> gated;
  CustomOp<CudaSample<T>, CudaStepContext> sample;
  CustomOp<CudaSumRows<T>, CudaStepContext> sums;
};

}  // namespace

struct CudaOpDomain::Ops {
  Ops(const CudaStepContext& context, const char* provider) : f16(context, provider), bf16(context, provider) {}
  OpsOf<ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16> f16;
  OpsOf<ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16> bf16;
  CustomOpDomainPtr domain;
};

CudaOpDomain::CudaOpDomain(const CudaStepContext& context, const char* provider) : ops_(std::make_unique<Ops>(context, provider)) {
  OrtCustomOpDomain* domain = nullptr;
  check(ort().CreateCustomOpDomain("lorikeet", &domain));
  ops_->domain.reset(domain);
  for (const OrtCustomOp* op : context.dtype == DType::f16 ? ops_->f16.all() : ops_->bf16.all()) check(ort().CustomOpDomain_Add(domain, op));
}

CudaOpDomain::~CudaOpDomain() = default;

OrtCustomOpDomain* CudaOpDomain::get() const { return ops_->domain.get(); }

}  // namespace lorikeet::cuda
