#include "adapter_ops.h"
#include <algorithm>
#include <numeric>

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
    : AdapterOp(context, info), sites_(attribute_ints(info, "sites")), widths_(attribute_ints(info, "widths")) {
  if (sites_.empty() || sites_.size() > kMaxProducts) throw std::invalid_argument("BatchedLora: takes one to three sites");
  if (widths_.size() != sites_.size()) throw std::invalid_argument("BatchedLora: needs a width per site");
}

// Product `i` of the op, as the output that carries it on.
void* LoraCompute::product(OrtKernelContext* kernel, size_t i, int64_t x_rows, int64_t width) const {
  const Dims y = input_dims(kernel, 1 + i);
  if (y[0] != x_rows) throw std::invalid_argument("BatchedLora: x and the products differ in rows");
  if (y[1] != width) throw std::invalid_argument("BatchedLora: a product is not as wide as `widths` says");
  return carried(kernel, 1 + i, i, rows().launch.stream);
}

void LoraCompute::compute(OrtKernelContext* kernel) {
  const Dims x = input_dims(kernel, 0);
  const size_t matrices = input_count(kernel) - 1;
  const bool joined = matrices == 1;
  if (!joined && matrices != sites_.size()) throw std::invalid_argument("BatchedLora: needs one product per site, or one of all");
  LoraOp op;
  op.x = input<void>(kernel, 0);
  op.in = x[1];
  op.products = static_cast<int32_t>(sites_.size());
  op.h = context_.h;
  op.h_rows = context_.h_rows;
  if (joined) op.y_stride = std::accumulate(widths_.begin(), widths_.end(), int32_t{0});
  auto* all = joined ? static_cast<uint16_t*>(product(kernel, 0, x[0], op.y_stride)) : nullptr;
  for (size_t p = 0; p < sites_.size(); p++) {
    op.y[p] = joined ? all : product(kernel, p, x[0], widths_[p]);
    op.out[p] = widths_[p];
    op.site[p] = static_cast<int32_t>(sites_[p]);
    if (joined) all += widths_[p];
  }
  if (std::ranges::none_of(sites_, [&](int64_t site) { return context_.touches(site); })) return;
  Launch launch = rows().launch;
  // Whether any adapter of the step has such a delta says nothing of these sites.
  if (std::ranges::none_of(sites_, [&](int64_t site) { return context_.adds_directly(site); })) launch.counts.direct_tiles = 0;
  must_launch(batched_lora(rows().step, op, launch), "BatchedLora");
}

void ScaleCompute::compute(OrtKernelContext* kernel) {
  const Dims x = input_dims(kernel, 0);
  void* scaled = carried(kernel, 0, 0, rows().launch.stream);
  if (context_.scales_input(site_))
    must_launch(scale_input(rows().step, scaled, x[1], static_cast<int32_t>(site_), rows().launch), "ScaleInput");
}

EmbeddingCompute::EmbeddingCompute(const CudaStepContext& context, const OrtKernelInfo* info)
    : AdapterOp(context, info), sites_(attribute_ints(info, "sites")) {
  if (sites_.size() != 1 && sites_.size() != 2) throw std::invalid_argument("BatchedEmbedding: takes the table's site, and that of added tokens");
}

void EmbeddingCompute::compute(OrtKernelContext* kernel) {
  const Dims e = input_dims(kernel, 1);
  void* embedded = carried(kernel, 1, 0, rows().launch.stream);
  if (std::ranges::none_of(sites_, [&](int64_t site) { return context_.touches(site); })) return;
  const auto site = static_cast<int32_t>(sites_.front()), added = sites_.size() > 1 ? static_cast<int32_t>(sites_.back()) : -1;
  must_launch(batched_embedding(rows().step, input<int32_t>(kernel, 0), embedded, context_.vocab_size, e[1], site, added, rows().launch),
              "BatchedEmbedding");
}

}  // namespace lorikeet::cuda
