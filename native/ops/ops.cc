#include "ops.h"
#include "add_norm.h"
#include "batched_lora.h"
#include "gated_activation.h"
#include "linear.h"
#include "paged_attention.h"
#include "sample.h"
#include "sum_rows.h"

namespace lorikeet {

struct OpDomain::Ops {
  explicit Ops(const StepContext& context)
      : batched_lora(context), scale_input(context), batched_embedding(context), added_logits(context), paged_attention(context), gated_activation(context), add_norm(context),
        sample(context), sum_rows(context), linear(context), packed_embedding(context) {}
  CustomOp<BatchedLora> batched_lora;
  CustomOp<ScaleInput> scale_input;
  CustomOp<BatchedEmbedding> batched_embedding;
  CustomOp<AddedLogits> added_logits;
  CustomOp<PagedAttention> paged_attention;
  CustomOp<GatedActivation> gated_activation;
  CustomOp<AddNorm> add_norm;
  CustomOp<Sample> sample;
  CustomOp<SumRows> sum_rows;
  CustomOp<Linear> linear;
  CustomOp<PackedEmbedding> packed_embedding;
  CustomOpDomainPtr domain;
};

OpDomain::OpDomain(const StepContext& context) : ops_(std::make_unique<Ops>(context)) {
  OrtCustomOpDomain* domain = nullptr;
  check(ort().CreateCustomOpDomain("lorikeet", &domain));
  ops_->domain.reset(domain);
  for (const OrtCustomOp* op : std::initializer_list<const OrtCustomOp*>{&ops_->batched_lora, &ops_->scale_input,
                                                                        &ops_->batched_embedding, &ops_->added_logits, &ops_->paged_attention, &ops_->gated_activation, &ops_->add_norm,
                                                                        &ops_->sample, &ops_->sum_rows, &ops_->linear, &ops_->packed_embedding})
    check(ort().CustomOpDomain_Add(domain, op));
}

OpDomain::~OpDomain() = default;
OrtCustomOpDomain* OpDomain::get() const { return ops_->domain.get(); }

}  // namespace lorikeet
