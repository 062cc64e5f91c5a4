#pragma once
#include "custom_op.h"

namespace lorikeet {

// The CPU's twin of com.microsoft.PagedAttention: inputs in the same order, the caches as bytes.
class PagedAttention {
 public:
  static constexpr const char* name = "PagedAttention";
  static std::vector<Arg> inputs() {
    std::vector<Arg> all(14, {kFloat});
    for (int i : {3, 4}) all[i].type = kBytes;
    for (int i : {5, 6, 7, 10}) all[i].type = kInt32;
    for (int i : {8, 9, 10, 11, 12, 13}) all[i].kind = INPUT_OUTPUT_OPTIONAL;
    return all;
  }
  static std::vector<Arg> outputs() { return {{kFloat}}; }
  static std::vector<InPlace> in_place() { return {}; }
  PagedAttention(const StepContext& context, const OrtKernelInfo* info);
  void compute(OrtKernelContext* kernel);

 private:
  const StepContext& context_;
  AttentionArgs args_;
};

}  // namespace lorikeet
