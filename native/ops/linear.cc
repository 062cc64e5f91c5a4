#include "linear.h"

namespace lorikeet {
namespace {

PackedWeight weight_at(const StepContext& context, const char* op, int64_t place) {
  if (place < 0 || place >= static_cast<int64_t>(context.packed.size()))
    throw std::invalid_argument(std::string(op) + ": weight " + std::to_string(place) + " is none of the " + std::to_string(context.packed.size()) + " that are packed");
  return context.packed[place];
}

}  // namespace

Linear::Linear(const StepContext& context, const OrtKernelInfo* info) : context_(context) {
  for (const int64_t place : attribute_ints(info, "weights")) weights_.push_back(weight_at(context, name, place));
  if (weights_.empty() || weights_.size() > kMaxProducts) throw std::invalid_argument("Linear: takes one to three weights");
  for (const PackedWeight& weight : weights_)
    if (weight.shape.in != weights_[0].shape.in || weight.shape.form != weights_[0].shape.form) throw std::invalid_argument("Linear: the weights differ in inputs or form");
}

void Linear::compute(OrtKernelContext* kernel) {
  const Dims x = input_dims(kernel, 0);
  const int64_t in = weights_[0].shape.in;
  if (x[1] != in) throw std::invalid_argument("Linear: x has " + std::to_string(x[1]) + " columns, not " + std::to_string(in));
  const size_t inputs = input_count(kernel);
  LinearArgs args;
  args.x = input<float>(kernel, 0);
  args.rows = x[0];
  args.x_stride = in;
  args.products = static_cast<int32_t>(weights_.size());
  for (size_t p = 0; p < weights_.size(); p++) {
    const auto& [shape, data] = weights_[p];
    args.shape[p] = shape;
    args.packed[p] = data;
    args.bias[p] = p + 1 < inputs ? input<float>(kernel, p + 1) : nullptr;
    if (args.bias[p] && input_dims(kernel, p + 1)[0] != shape.out) throw std::invalid_argument("Linear: a bias has another length than its product");
    args.y[p] = output(kernel, p, x[0], shape.out);
    args.y_stride[p] = shape.out;
  }
  linear(args, parallel_of(kernel, context_.threads));
}

PackedEmbedding::PackedEmbedding(const StepContext& context, const OrtKernelInfo* info) : table_(weight_at(context, name, attribute_int(info, "weight"))) {}

void PackedEmbedding::compute(OrtKernelContext* kernel) {
  const int64_t rows = input_dims(kernel, 0)[0];
  const int32_t* ids = input<int32_t>(kernel, 0);
  const LinearShape& shape = table_.shape;
  float* to = output(kernel, 0, rows, shape.in);
  for (int64_t i = 0; i < rows; i++) {
    if (ids[i] < 0 || ids[i] >= shape.out) throw std::invalid_argument("PackedEmbedding: no row " + std::to_string(ids[i]));
    unpack_row(shape, table_.data, ids[i], to + i * shape.in);
  }
}

}  // namespace lorikeet
