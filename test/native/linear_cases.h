// A product of packed weights, its reference in float64, and the instruction sets to try it on.
#pragma once
#include <memory>
#include "harness.h"
#include "kernels/linear.h"

namespace lorikeet::test {

constexpr WeightForm kForms[] = {WeightForm::bf16, WeightForm::f16, WeightForm::int8, WeightForm::int4};
inline const char* form_name(WeightForm form) {
  constexpr const char* names[] = {"bf16", "f16", "int8", "int4"};
  return names[static_cast<int>(form)];
}
inline bool rounds_to_bytes(WeightForm form) { return rounds_inputs(form); }

// The products of the family that a test runs on (the runner knows avx512, avx2, neon and portable), those that the machine has.
inline std::vector<const LinearKernels*> linear_kernels_of(const Kernels& kernels) {
  std::vector<const LinearKernels*> found;
  const std::string family = kernels.name;
  for (const std::string name : kLinearNames)
    if (name.rfind(family, 0) == 0 || (family == "avx2" && name == "avxvnni"))
      if (const auto* here = linear_kernels_named(name.c_str())) found.push_back(here);
  return found;
}

// A weight of `out` × `in`, packed for one instruction set, with a guard behind its last byte.
class PackedWeight {
 public:
  PackedWeight(const LinearKernels& kernels, LinearShape shape, const std::vector<float>& values) : kernels_(kernels), shape_(shape) {
    const size_t bytes = linear_bytes(shape, kernels);
    check(bytes % 64 == 0, "packed bytes are a multiple of 64");
    storage_.reset(static_cast<uint8_t*>(std::aligned_alloc(64, bytes + 64)));
    std::memset(storage_.get(), 0xa5, bytes + 64);
    // In two parts, the second first.
    const int64_t middle = shape.out / 2 / kLinearTile * kLinearTile;
    pack_linear(shape, values.data() + middle * shape.in, middle, shape.out - middle, data(), kernels);
    pack_linear(shape, values.data(), 0, middle, data(), kernels);
    for (size_t i = 0; i < 64; i++) check(storage_.get()[bytes + i] == 0xa5, "pack_linear writes its bytes only");
  }
  const LinearShape& shape() const { return shape_; }
  void* data() const { return storage_.get(); }
  std::vector<float> row(int64_t o) const {
    std::vector<float> values(shape_.in);
    unpack_row(shape_, data(), o, values.data(), kernels_);
    return values;
  }

 private:
  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  const LinearKernels& kernels_;
  LinearShape shape_;
  std::unique_ptr<uint8_t, Free> storage_;
};

// A row as the product sees it, by the rule of linear.h.
inline std::vector<double> rounded_inputs(const LinearKernels& kernels, WeightForm form, const float* x, int64_t in) {
  std::vector<double> seen(x, x + in);
  const std::string name = kernels.name;
  if (form == WeightForm::bf16 && (name == "avx512bf16" || name == "neonbf16"))
    for (double& v : seen) v = from_bfloat(to_bfloat(static_cast<float>(v)));
  if (!rounds_to_bytes(form)) return seen;
  for (int64_t g = 0; g < in; g += kLinearGroup) {
    const int64_t end = std::min(in, g + kLinearGroup);
    float most = 0;
    for (int64_t i = g; i < end; i++) most = std::max(most, std::abs(x[i]));
    const float inverse = most < 1e-30f ? 0 : 127 / most;
    for (int64_t i = g; i < end; i++) seen[i] = std::nearbyint(x[i] * inverse) * static_cast<double>(most / 127);
  }
  return seen;
}

// Rows [rows, in] against one weight, alone or together.
inline std::vector<float> product(const LinearKernels& kernels, const PackedWeight& weight, const std::vector<float>& x, int threads = 1) {
  LinearArgs args;
  const auto& shape = weight.shape();
  args.rows = static_cast<int64_t>(x.size()) / shape.in;
  args.x = x.data();
  args.x_stride = shape.in;
  args.products = 1;
  args.shape[0] = shape;
  args.packed[0] = weight.data();
  std::vector<float> y(args.rows * shape.out, NAN);
  args.y[0] = y.data();
  args.y_stride[0] = shape.out;
  kernels.linear(args, on_threads(threads));
  return y;
}

}  // namespace lorikeet::test
