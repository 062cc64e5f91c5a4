// How a step's segments become work for the kernels. Planned once per step on the host, copied with the step's inputs, read by every LoRA op of the
// step. Addresses and capacities are fixed when the buffers are made, so that a captured graph replays with other counts.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>
#include "adapters.h"

namespace lorikeet::cuda {

constexpr int kNarrowRows = 16;  // rows of one tensor-core tile: decode rows and short segments
constexpr int kWideRows = 64;    // four of them: prefill, one warp each

// One adapter of a tile's mix. Its shrink results h start at row `h_row` of the h buffer: rank block b of tile row i is h row h_row + b*rows + i.
struct alignas(16) TileEntry {
  const uint8_t* tables;  // the adapter's, on the device
  float weight;
  int32_t h_row, rank_blocks;
  int32_t ranks;  // rank rows that are used at most
  int32_t unused[2];
};

// Rows [row, row + rows) of one segment, with the entries that apply to them; the first of them is repeated here, one read sooner. Narrow tiles come
// first in the list, then wide ones.
struct alignas(16) Tile {
  int32_t row, rows, entry_begin, entry_end;
  TileEntry first;
};

// One rank block of one entry of one tile: the unit of the shrink. `h_row` is the block's own first h row. Narrow ones first, then wide ones.
struct alignas(16) ShrinkWork {
  const uint8_t* tables;
  int32_t rank_block, rank_blocks, row, rows, h_row, unused;
};

struct alignas(16) PlanCounts {
  int32_t narrow_tiles = 0, wide_tiles = 0, narrow_works = 0, wide_works = 0;
  int32_t direct_tiles = 0;  // tiles with an adapter that adds A x directly
  int32_t h_rows = 0;        // h rows used
  int32_t unused[2] = {};
};

// The same arrays as seen by a kernel; all pointers are the device's.
struct PlanView {
  const PlanCounts* counts = nullptr;
  const Tile* tiles = nullptr;
  const TileEntry* entries = nullptr;
  const int32_t* direct = nullptr;  // tile ordinals
  const ShrinkWork* works = nullptr;
};

struct PlanCapacity {
  int32_t tiles = 0, entries = 0, works = 0;
};

// A step's segments, as StepBatch has them. Adapters that are not resident any more (their segment is void) have a null shape.
struct PlanInput {
  const int32_t* segment_starts = nullptr;   // [segments + 1]
  const int32_t* segment_entries = nullptr;  // [segments + 1]
  int32_t segments = 0;
  const uint8_t* const* entry_tables = nullptr;      // [entries], where the adapter's tables are on the device
  const float* entry_weight = nullptr;               // [entries]
  const AdapterShape* const* entry_shape = nullptr;  // [entries]
  const int32_t* entry_rank = nullptr;               // [entries], rank rows that are used at most, 0 for all; null: all of all
};

class LoraPlan {
 public:
  explicit LoraPlan(const PlanCapacity& capacity);
  // False if the segments do not fit the capacity; the plan is then empty. `wide`: use wide tiles for long segments (prefill); a decode step
  // leaves them out so that one captured graph serves any mix. The result of a row is the same bits either way.
  bool build(const PlanInput& input, bool wide);
  const PlanCounts& counts() const { return counts_; }
  // What has to reach the device: `used_bytes()` of `data()`, at the start of a buffer of `bytes()`, 16-byte aligned.
  const uint8_t* data() const { return bytes_.data(); }
  size_t bytes() const { return bytes_.size(); }
  size_t used_bytes() const;
  PlanView view(const uint8_t* base) const;

 private:
  bool add(const PlanInput& input, int32_t segment, int32_t row, int32_t rows);

  PlanCapacity capacity_;
  size_t tiles_at_, entries_at_, direct_at_, works_at_;
  PlanCounts counts_;
  int32_t tiles_ = 0, entries_ = 0, works_ = 0;
  std::vector<uint8_t> bytes_;
};

// A bound for any step of `rows` rows, each with at most `entries_per_row` adapters of at most `rank_blocks` rank blocks (of which only the
// used part travels).
PlanCapacity plan_capacity(int32_t rows, int32_t entries_per_row, int32_t rank_blocks);

}  // namespace lorikeet::cuda
