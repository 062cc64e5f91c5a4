// BatchedLora, ScaleInput, BatchedEmbedding, AddedLogits: the ops that apply adapters. They share the four segment inputs.
#pragma once
#include "custom_op.h"

namespace lorikeet {

// Turns the segment inputs [first, first+4) and a list of sites into what the kernels take. Reused across calls.
class Segments {
 public:
  explicit Segments(std::vector<int64_t> sites) : sites_(std::move(sites)) {}
  // False when no row has an entry at one of the sites: nothing to do. Throws if the segments do not fit `rows`.
  bool read(const OrtKernelContext* kernel, size_t first, const StepContext& context, int64_t rows);
  const std::vector<LoraSegment>& list() const { return segments_; }
  const std::vector<int64_t>& sites() const { return sites_; }

 private:
  std::vector<int64_t> sites_;
  std::vector<LoraSegment> segments_;
  std::vector<LoraEntry> entries_;
  std::vector<SiteDelta> limited_;  // deltas of which not all rank rows are used
};

class BatchedLora {
 public:
  static constexpr const char* name = "BatchedLora";
  static std::vector<Arg> inputs() {
    return {{kFloat}, {kInt32}, {kInt32}, {kInt32}, {kFloat}, {kFloat, INPUT_OUTPUT_VARIADIC}};
  }
  static std::vector<Arg> outputs() { return {{kFloat, INPUT_OUTPUT_VARIADIC}}; }
  static std::vector<InPlace> in_place() { return {{5, 0}, {6, 1}, {7, 2}}; }
  BatchedLora(const StepContext& context, const OrtKernelInfo* info);
  void compute(OrtKernelContext* kernel);

 private:
  const StepContext& context_;
  Segments segments_;
};

class ScaleInput {
 public:
  static constexpr const char* name = "ScaleInput";
  static std::vector<Arg> inputs() { return {{kFloat}, {kInt32}, {kInt32}, {kInt32}, {kFloat}}; }
  static std::vector<Arg> outputs() { return {{kFloat}}; }
  static std::vector<InPlace> in_place() { return {{0, 0}}; }
  ScaleInput(const StepContext& context, const OrtKernelInfo* info);
  void compute(OrtKernelContext* kernel);

 private:
  const StepContext& context_;
  Segments segments_;
};

// The logits of tokens that adapters add: inputs x and the segments, output [rows, width], or [rows, 0] where no row's adapter adds any.
class AddedLogits {
 public:
  static constexpr const char* name = "AddedLogits";
  static std::vector<Arg> inputs() { return {{kFloat}, {kInt32}, {kInt32}, {kInt32}, {kFloat}}; }
  static std::vector<Arg> outputs() { return {{kFloat}}; }
  static std::vector<InPlace> in_place() { return {}; }
  AddedLogits(const StepContext& context, const OrtKernelInfo* info);
  void compute(OrtKernelContext* kernel);

 private:
  const StepContext& context_;
  Segments segments_;
};

class BatchedEmbedding {
 public:
  static constexpr const char* name = "BatchedEmbedding";
  static std::vector<Arg> inputs() { return {{kInt32}, {kInt32}, {kInt32}, {kInt32}, {kFloat}, {kFloat}}; }
  static std::vector<Arg> outputs() { return {{kFloat}}; }
  static std::vector<InPlace> in_place() { return {{5, 0}}; }
  BatchedEmbedding(const StepContext& context, const OrtKernelInfo* info);
  void compute(OrtKernelContext* kernel);

 private:
  const StepContext& context_;
  Segments segments_;
};

}  // namespace lorikeet
