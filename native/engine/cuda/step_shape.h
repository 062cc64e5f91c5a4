// What the host decides for a step: sizes, bounds and which kernels are launched. Everything else a step reads from device memory. So two steps of one shape
// run the same launches on the same addresses, and a decode step's shape is the key under which its CUDA graph is kept.
#pragma once
#include <compare>
#include <cstdint>
#include <tuple>
#include <vector>
#include "../../kernels/cuda/plan.h"
#include "../../kernels/cuda/sampling.h"
#include "../../pool/cuda/site_bits.h"
#include "../../step/step.h"

namespace lorikeet::cuda {

// Bounds of one plan: its arrays' lengths and the grids of the kernels that read it. No tiles: no adapters, nothing is launched. A captured step's are those
// of the worst batch of its rows: blocks without work end at once, and few keys mean few graphs.
struct PlanShape {
  int32_t tiles = 0, entries = 0, works = 0, direct_tiles = 0, h_rows = 0;
  bool wide = false;
  PlanCapacity capacity() const { return {tiles, entries, works}; }
  PlanCounts bounds() const;
  auto operator<=>(const PlanShape&) const = default;
};

inline auto ordered(const SampleFeatures& f) { return std::tie(f.draw, f.truncation, f.effects, f.logprobs, f.top); }
inline auto operator<=>(const SampleFeatures& a, const SampleFeatures& b) { return ordered(a) <=> ordered(b); }
inline bool operator==(const SampleFeatures& a, const SampleFeatures& b) { return ordered(a) == ordered(b); }

struct StepShape {
  bool captured = false;  // a decode step whose sizes are rounded up to a bucket
  int32_t tokens = 0, sequences = 0, columns = 0, logits = 0;
  int32_t max_query = 0, max_kv = 0;  // attention_metadata
  PlanShape adapters, head;           // over the tokens; over the logits rows, where the head has an adapter and they are not the tokens
  SampleFeatures sample;
  SiteBits sites;  // of all adapters of the step
  auto operator<=>(const StepShape&) const = default;
};

struct ShapeLimits {
  int32_t block_size = 0, site_count = 0, head_site = -1, added_head_site = -1;
  int32_t captured_rows = 0;  // largest decode step that is captured; 0: none is
};

// `sample`: what the step's rows need.
StepShape shape_of(const StepInput& input, const SampleFeatures& sample, const ShapeLimits& limits);

// A plan's input: the segments over the tokens, or (given their starts) over the logits rows. Points into `input` and `entries`.
struct PlanEntries {
  explicit PlanEntries(const StepInput& input);
  PlanInput over(const StepInput& input, const std::vector<int32_t>& starts) const;

 private:
  std::vector<const uint8_t*> tables_;
  std::vector<const AdapterShape*> shapes_;
};
// Where each segment's logits rows start. Shape: [segments + 1].
std::vector<int32_t> logits_starts(const StepInput& input);

}  // namespace lorikeet::cuda
