#include "cuda_ops.h"
#include "adapter_ops.h"
#include "gated_op.h"
#include "sample_op.h"

namespace lorikeet::cuda {
namespace {

template <Element T>
struct OpsOf {
  explicit OpsOf(const CudaStepContext& context) : lora(context), scale(context), embedding(context), gated(context), sample(context) {}
  std::vector<const OrtCustomOp*> all() const { return {&lora, &scale, &embedding, &gated, &sample}; }
  CustomOp<CudaBatchedLora<T>, CudaStepContext> lora;
  CustomOp<CudaScaleInput<T>, CudaStepContext> scale;
  CustomOp<CudaBatchedEmbedding<T>, CudaStepContext> embedding;
  CustomOp<CudaGatedActivation<T>, CudaStepContext> gated;
  CustomOp<CudaSample<T>, CudaStepContext> sample;
};

}  // namespace

struct CudaOpDomain::Ops {
  explicit Ops(const CudaStepContext& context) : f16(context), bf16(context) {}
  OpsOf<ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16> f16;
  OpsOf<ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16> bf16;
  CustomOpDomainPtr domain;
};

CudaOpDomain::CudaOpDomain(const CudaStepContext& context) : ops_(std::make_unique<Ops>(context)) {
  OrtCustomOpDomain* domain = nullptr;
  check(ort().CreateCustomOpDomain("lorikeet", &domain));
  ops_->domain.reset(domain);
  for (const OrtCustomOp* op : context.dtype == DType::f16 ? ops_->f16.all() : ops_->bf16.all()) check(ort().CustomOpDomain_Add(domain, op));
}

CudaOpDomain::~CudaOpDomain() = default;

std::vector<OrtCustomOpDomain*> CudaOpDomain::all() const {
  std::vector<OrtCustomOpDomain*> domains = emulated_domains();
  domains.push_back(ops_->domain.get());
  return domains;
}

}  // namespace lorikeet::cuda
