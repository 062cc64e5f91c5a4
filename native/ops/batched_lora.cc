#include "batched_lora.h"
#include <algorithm>
#include <cstring>

namespace lorikeet {
namespace {

void require(bool ok, const char* op, const char* what) {
  if (!ok) throw std::invalid_argument(std::string(op) + ": " + what);
}

// The op's output, holding the input's values: the same buffer when ONNX Runtime let the output take it over.
float* carried(OrtKernelContext* kernel, size_t in, size_t out, int64_t rows, int64_t width) {
  const float* from = input<float>(kernel, in);
  float* to = output(kernel, out, rows, width);
  if (to != from && rows > 0) std::memcpy(to, from, sizeof(float) * rows * width);
  return to;
}

}  // namespace

bool Segments::read(const OrtKernelContext* kernel, size_t first, const StepContext& context, int64_t rows) {
  const int64_t count = input_dims(kernel, first)[0] - 1;
  const int32_t* starts = input<int32_t>(kernel, first);
  const int32_t* csr = input<int32_t>(kernel, first + 1);
  if (count < 1 || csr[count] == csr[0]) return false;
  require(starts[0] == 0 && starts[count] == rows, "segments", "do not cover the rows");
  const int32_t* adapter = input<int32_t>(kernel, first + 2);
  const float* weight = input<float>(kernel, first + 3);
  segments_.clear();
  entries_.clear();
  limited_.clear();
  entries_.reserve(csr[count]);  // LoraSegment points into it
  limited_.reserve(csr[count] * sites_.size());  // and entries into this
  for (int64_t s = 0; s < count; s++) {
    const size_t at = entries_.size();
    for (int32_t e = csr[s]; e < csr[s + 1] && starts[s] < starts[s + 1]; e++) {
      require(adapter[e] >= 0 && static_cast<size_t>(adapter[e]) < context.adapters.size(), "segments", "name an adapter that the step lacks");
      const auto* resident = static_cast<const CpuResident*>(context.adapters[adapter[e]].get());
      if (!resident) continue;
      LoraEntry entry;
      entry.weight = weight[e];
      bool any = false;
      const int32_t ranks = context.step->input.entry_rank[adapter[e]];
      for (size_t p = 0; p < sites_.size(); p++) {
        const SiteDelta* delta = resident->by_site[sites_[p]];
        if (delta && delta->b && ranks > 0 && ranks < delta->rank) {
          limited_.push_back(*delta);
          limited_.back().rank = ranks;
          delta = &limited_.back();
        }
        any |= (entry.delta[p] = delta) != nullptr;
      }
      if (any) entries_.push_back(entry);
    }
    if (entries_.size() > at)
      segments_.push_back({starts[s], starts[s + 1], entries_.data() + at, static_cast<int32_t>(entries_.size() - at)});
  }
  return !segments_.empty();
}

BatchedLora::BatchedLora(const StepContext& context, const OrtKernelInfo* info)
    : context_(context), segments_(attribute_ints(info, "sites")) {
  require(!segments_.sites().empty() && segments_.sites().size() <= kMaxProducts, name, "takes one to three sites");
}

void BatchedLora::compute(OrtKernelContext* kernel) {
  constexpr size_t kFirstProduct = 5;
  const Dims x = input_dims(kernel, 0);
  const size_t products = segments_.sites().size();
  require(input_count(kernel) == kFirstProduct + products, name, "needs one product per site");
  LoraArgs args;
  args.x = input<float>(kernel, 0);
  args.in = x[1];
  args.products = static_cast<int32_t>(products);
  args.dtype = context_.adapter_dtype;
  for (size_t p = 0; p < products; p++) {
    const Dims y = input_dims(kernel, kFirstProduct + p);
    require(y[0] == x[0], name, "x and the products differ in rows");
    args.out[p] = y[1];
    args.y[p] = carried(kernel, kFirstProduct + p, p, y[0], y[1]);
  }
  if (!segments_.read(kernel, 1, context_, x[0])) return;
  args.segments = segments_.list().data();
  args.segment_count = static_cast<int32_t>(segments_.list().size());
  kernels().batched_lora(args, parallel_of(kernel, context_.threads));
}

ScaleInput::ScaleInput(const StepContext& context, const OrtKernelInfo* info)
    : context_(context), segments_({attribute_int(info, "site")}) {}

void ScaleInput::compute(OrtKernelContext* kernel) {
  const Dims x = input_dims(kernel, 0);
  LoraArgs args;
  args.products = 1;
  args.out[0] = x[1];
  args.y[0] = carried(kernel, 0, 0, x[0], x[1]);
  args.dtype = context_.adapter_dtype;
  if (!segments_.read(kernel, 1, context_, x[0])) return;
  args.segments = segments_.list().data();
  args.segment_count = static_cast<int32_t>(segments_.list().size());
  kernels().scale_input(args, parallel_of(kernel, context_.threads));
}

AddedLogits::AddedLogits(const StepContext& context, const OrtKernelInfo* info) : context_(context), segments_({attribute_int(info, "site")}) {}

void AddedLogits::compute(OrtKernelContext* kernel) {
  const Dims x = input_dims(kernel, 0);
  const bool any = segments_.read(kernel, 1, context_, x[0]);
  LoraArgs args;
  args.x = input<float>(kernel, 0);
  args.in = x[1];
  args.products = 1;
  args.dtype = context_.adapter_dtype;
  args.out[0] = any ? context_.added_tokens : 0;
  args.y[0] = output(kernel, 0, x[0], args.out[0]);
  if (!any) return;
  std::fill_n(args.y[0], x[0] * args.out[0], 0.0f);
  args.segments = segments_.list().data();
  args.segment_count = static_cast<int32_t>(segments_.list().size());
  kernels().batched_lora(args, parallel_of(kernel, context_.threads));
}

BatchedEmbedding::BatchedEmbedding(const StepContext& context, const OrtKernelInfo* info)
    : context_(context), segments_(attribute_ints(info, "sites")) {
  require(segments_.sites().size() == 1 || segments_.sites().size() == 2, name, "takes the table's site, and that of added tokens");
}

void BatchedEmbedding::compute(OrtKernelContext* kernel) {
  const Dims e = input_dims(kernel, 5);
  EmbeddingArgs args;
  args.ids = input<int32_t>(kernel, 0);
  args.lora.products = static_cast<int32_t>(segments_.sites().size());
  args.lora.out[0] = e[1];
  args.lora.y[0] = carried(kernel, 5, 0, e[0], e[1]);
  args.lora.dtype = context_.adapter_dtype;
  if (!segments_.read(kernel, 1, context_, e[0])) return;
  args.lora.in = context_.vocab_size;
  args.lora.segments = segments_.list().data();
  args.lora.segment_count = static_cast<int32_t>(segments_.list().size());
  kernels().batched_embedding(args, parallel_of(kernel, context_.threads));
}

}  // namespace lorikeet
