#include "step_shape.h"
#include <algorithm>
#include <bit>
#include "../../pool/cuda/device_residents.h"

namespace lorikeet::cuda {
namespace {

// Few sizes, near each other where steps are small: 1, 2, 4, then every 8 rows.
int32_t rows_bucket(int32_t rows) { return rows <= 4 ? std::bit_ceil(static_cast<uint32_t>(rows)) : (rows + 7) / 8 * 8; }
int32_t bucket(int32_t n) { return n == 0 ? 0 : std::bit_ceil(static_cast<uint32_t>(n)); }

const DeviceResident* resident(const StepInput& input, int32_t entry) { return static_cast<const DeviceResident*>(input.resolved[entry].get()); }

// Enough for the plan of these segments, with narrow tiles or wide ones.
PlanShape plan_shape(const StepInput& input, const std::vector<int32_t>& starts, bool wide) {
  PlanShape shape;
  shape.wide = wide;
  for (size_t s = 0; s + 1 < starts.size(); s++) {
    const int32_t rows = starts[s + 1] - starts[s], tiles = (rows + kNarrowRows - 1) / kNarrowRows;
    int32_t entries = 0;
    bool direct = false;
    for (int32_t e = input.segment_entries[s]; e < input.segment_entries[s + 1]; e++) {
      const DeviceResident* adapter = resident(input, e);
      if (!adapter) continue;
      entries++;
      shape.works += tiles * adapter->shape.rank_blocks;
      shape.h_rows += rows * adapter->shape.rank_blocks;
      direct |= adapter->shape.direct;
    }
    if (entries == 0) continue;
    shape.tiles += tiles;
    shape.entries += tiles * entries;
    if (direct) shape.direct_tiles += tiles;
  }
  return shape;
}

// What any decode step of `rows` rows needs, if no row has more adapters, more rank blocks or other kinds of deltas than these.
PlanShape decode_shape(const StepInput& input, int32_t rows) {
  int32_t most_entries = 0, most_blocks = 0;
  bool direct = false;
  for (size_t s = 0; s + 1 < input.segment_starts.size(); s++) {
    int32_t entries = 0, blocks = 0;
    for (int32_t e = input.segment_entries[s]; e < input.segment_entries[s + 1]; e++)
      if (const DeviceResident* adapter = resident(input, e)) {
        entries++;
        blocks += adapter->shape.rank_blocks;
        direct |= adapter->shape.direct;
      }
    most_entries = std::max(most_entries, entries);
    most_blocks = std::max(most_blocks, blocks);
  }
  PlanShape shape;
  if (most_entries == 0) return shape;
  shape.tiles = rows;
  shape.entries = rows * bucket(most_entries);
  shape.works = shape.h_rows = rows * bucket(most_blocks);
  shape.direct_tiles = direct ? rows : 0;
  return shape;
}

// A step samples greedily, draws, or does all that there is; a row that asks for less gets less.
SampleFeatures sample_bucket(SampleFeatures features) {
  const bool all = features.effects || features.logprobs;
  const bool draws = all || features.draw;
  return {draws, draws, all, all, bucket(features.top)};
}

bool identity(const std::vector<int32_t>& indices) {
  for (size_t i = 0; i < indices.size(); i++)
    if (indices[i] != static_cast<int32_t>(i)) return false;
  return true;
}

}  // namespace

PlanCounts PlanShape::bounds() const {
  PlanCounts counts;
  counts.narrow_tiles = tiles;
  counts.narrow_works = works;
  // Tiles are counted as narrow ones: there are never more wide ones.
  counts.wide_tiles = wide ? tiles : 0;
  counts.wide_works = wide ? works : 0;
  counts.direct_tiles = direct_tiles;
  counts.h_rows = h_rows;
  return counts;
}

std::vector<int32_t> logits_starts(const StepInput& input) {
  std::vector<int32_t> starts;
  for (int32_t start : input.segment_starts)
    starts.push_back(static_cast<int32_t>(std::lower_bound(input.logits_indices.begin(), input.logits_indices.end(), start) -
                                          input.logits_indices.begin()));
  return starts;
}

PlanEntries::PlanEntries(const StepInput& input) {
  for (size_t e = 0; e < input.resolved.size(); e++) {
    const DeviceResident* adapter = resident(input, static_cast<int32_t>(e));
    tables_.push_back(adapter ? adapter->tables : nullptr);
    shapes_.push_back(adapter ? &adapter->shape : nullptr);
  }
}

PlanInput PlanEntries::over(const StepInput& input, const std::vector<int32_t>& starts) const {
  return {starts.data(), input.segment_entries.data(), static_cast<int32_t>(starts.size()) - 1, tables_.data(), input.entry_weight.data(), shapes_.data(), input.entry_rank.data()};
}

StepShape shape_of(const StepInput& input, const SampleFeatures& sample, const ShapeLimits& limits) {
  StepShape shape;
  shape.tokens = input.tokens();
  shape.sequences = static_cast<int32_t>(input.past.size());
  shape.columns = input.columns();
  shape.logits = static_cast<int32_t>(input.logits_indices.size());
  for (int32_t b = 0; b < shape.sequences; b++) {
    const int32_t count = input.cumulative[b + 1] - input.cumulative[b];
    shape.max_query = std::max(shape.max_query, count);
    shape.max_kv = std::max(shape.max_kv, input.past[b] + count);
  }
  shape.sites = SiteBits(limits.site_count);
  for (const auto& used : input.resolved)
    if (const auto* adapter = static_cast<const DeviceResident*>(used.get())) shape.sites.add(adapter->sites);
  shape.sample = sample;

  const bool decode = shape.tokens == shape.sequences && shape.max_query == 1;
  shape.adapters = plan_shape(input, input.segment_starts, !decode);
  const bool rows_are_tokens = shape.logits == shape.tokens && identity(input.logits_indices);
  const auto touched = [&](int32_t site) { return site >= 0 && SiteBits::has(shape.sites.touched, site); };
  if (!rows_are_tokens && (touched(limits.head_site) || touched(limits.added_head_site))) shape.head = plan_shape(input, logits_starts(input), true);
  shape.captured = decode && rows_are_tokens && input.summed.empty() && !input.return_logits && shape.tokens <= limits.captured_rows;
  if (!shape.captured) {
    shape.logits = std::max(shape.logits, 1);  // a step of prefill chunks alone computes one row of logits for nobody: products of no rows are left untried
    return shape;
  }
  shape.tokens = shape.sequences = shape.logits = rows_bucket(shape.tokens);
  shape.columns = bucket(shape.columns);
  shape.max_kv = shape.columns * limits.block_size;
  shape.sample = sample_bucket(shape.sample);
  shape.adapters = decode_shape(input, shape.tokens);
  return shape;
}

}  // namespace lorikeet::cuda
