#include "adapter_ops.h"
#include <algorithm>

namespace lorikeet::cuda {

void must_launch(int error, const char* op) {
  if (error) throw std::runtime_error(std::string(op) + ": the launch failed with CUDA error " + std::to_string(error));
}

void* carried(OrtKernelContext* kernel, size_t in, size_t out, device::Stream stream) {
  const Dims dims = input_dims(kernel, in);
  const void* from = input<void>(kernel, in);
  void* to = output_data(kernel, out, {dims[0], dims[1]});
  if (to != from) device::copy_on_device(to, from, sizeof(uint16_t) * dims[0] * dims[1], stream);
  return to;
}

AdapterOp::AdapterOp(const CudaStepContext& context, const OrtKernelInfo* info) : context_(context) {
  int64_t on_logits = 0;  // the attribute is the head's alone
  if (OrtStatus* absent = ort().KernelInfoGetAttribute_int64(info, "logits_rows", &on_logits)) ort().ReleaseStatus(absent);
  on_logits_ = on_logits != 0;
}

LoraCompute::LoraCompute(const CudaStepContext& context, const OrtKernelInfo* info)
    : AdapterOp(context, info), sites_(attribute_ints(info, "sites")) {
  if (sites_.empty() || sites_.size() > kMaxProducts) throw std::invalid_argument("BatchedLora: takes one to three sites");
}

void LoraCompute::compute(OrtKernelContext* kernel) {
  const Dims x = input_dims(kernel, 0);
  if (input_count(kernel) != 1 + sites_.size()) throw std::invalid_argument("BatchedLora: needs one product per site");
  LoraOp op;
  op.x = input<void>(kernel, 0);
  op.in = x[1];
  op.products = static_cast<int32_t>(sites_.size());
  op.h = context_.h;
  op.h_rows = context_.h_rows;
  for (size_t p = 0; p < sites_.size(); p++) {
    const Dims y = input_dims(kernel, 1 + p);
    if (y[0] != x[0]) throw std::invalid_argument("BatchedLora: x and the products differ in rows");
    op.y[p] = carried(kernel, 1 + p, p, rows().launch.stream);
    op.out[p] = y[1];
    op.site[p] = static_cast<int32_t>(sites_[p]);
  }
  if (std::ranges::any_of(sites_, [&](int64_t site) { return context_.touches(site); }))
    must_launch(batched_lora(rows().step, op, rows().launch), "BatchedLora");
}

void ScaleCompute::compute(OrtKernelContext* kernel) {
  const Dims x = input_dims(kernel, 0);
  void* scaled = carried(kernel, 0, 0, rows().launch.stream);
  if (context_.scales_input(site_))
    must_launch(scale_input(rows().step, scaled, x[1], static_cast<int32_t>(site_), rows().launch), "ScaleInput");
}

void EmbeddingCompute::compute(OrtKernelContext* kernel) {
  const Dims e = input_dims(kernel, 1);
  void* embedded = carried(kernel, 1, 0, rows().launch.stream);
  if (context_.touches(site_))
    must_launch(batched_embedding(rows().step, input<int32_t>(kernel, 0), embedded, context_.vocab_size, e[1], static_cast<int32_t>(site_), rows().launch),
                "BatchedEmbedding");
}

}  // namespace lorikeet::cuda
