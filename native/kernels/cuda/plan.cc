#include "plan.h"
#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>

namespace lorikeet::cuda {

LoraPlan::LoraPlan(const PlanCapacity& capacity) : capacity_(capacity) {
  const auto aligned = [](size_t n) { return (n + 15) / 16 * 16; };
  tiles_at_ = sizeof(PlanCounts);
  entries_at_ = tiles_at_ + sizeof(Tile) * capacity.tiles;
  direct_at_ = entries_at_ + sizeof(TileEntry) * capacity.entries;
  works_at_ = direct_at_ + aligned(sizeof(int32_t) * capacity.tiles);
  bytes_.resize(works_at_ + sizeof(ShrinkWork) * capacity.works);
}

PlanView LoraPlan::view(const uint8_t* base) const {
  return {reinterpret_cast<const PlanCounts*>(base), reinterpret_cast<const Tile*>(base + tiles_at_),
          reinterpret_cast<const TileEntry*>(base + entries_at_), reinterpret_cast<const int32_t*>(base + direct_at_),
          reinterpret_cast<const ShrinkWork*>(base + works_at_)};
}

size_t LoraPlan::used_bytes() const { return works_at_ + sizeof(ShrinkWork) * (counts_.narrow_works + counts_.wide_works); }

bool LoraPlan::add(const PlanInput& input, int32_t segment, int32_t row, int32_t rows) {
  auto* const tiles = reinterpret_cast<Tile*>(bytes_.data() + tiles_at_);
  auto* const entries = reinterpret_cast<TileEntry*>(bytes_.data() + entries_at_);
  auto* const directs = reinterpret_cast<int32_t*>(bytes_.data() + direct_at_);
  auto* const works = reinterpret_cast<ShrinkWork*>(bytes_.data() + works_at_);
  const int32_t first = entries_;
  bool direct = false;
  for (int32_t e = input.segment_entries[segment]; e < input.segment_entries[segment + 1]; e++) {
    const AdapterShape* shape = input.entry_shape[e];
    if (!shape) continue;
    const int32_t wanted = input.entry_rank ? input.entry_rank[e] : 0, ranks = wanted > 0 ? wanted : std::numeric_limits<int32_t>::max();
    const int32_t blocks = static_cast<int32_t>(std::min<int64_t>(shape->rank_blocks, (int64_t{ranks} + kRankBlock - 1) / kRankBlock));
    if (entries_ == capacity_.entries || blocks > capacity_.works - works_) return false;
    entries[entries_++] = {input.entry_tables[e], input.entry_weight[e], counts_.h_rows, shape->rank_blocks, ranks, {}};
    for (int32_t block = 0; block < blocks; block++) {
      works[works_++] = {input.entry_tables[e], block, shape->rank_blocks, row, rows, counts_.h_rows, 0};
      counts_.h_rows += rows;
    }
    direct |= shape->direct;
  }
  if (entries_ == first) return true;
  if (tiles_ == capacity_.tiles) return false;
  if (direct) directs[counts_.direct_tiles++] = tiles_;
  tiles[tiles_++] = {row, rows, first, entries_, entries[first]};
  return true;
}

bool LoraPlan::build(const PlanInput& input, bool wide) {
  counts_ = {};
  tiles_ = entries_ = works_ = 0;
  bool fits = true;
  // Two passes, so that the narrow tiles lie before the wide ones. The end of a long segment, 16 rows or fewer, is a narrow tile.
  for (int pass = 0; pass < 2 && fits; pass++) {
    for (int32_t s = 0; s < input.segments && fits; s++) {
      int32_t row = input.segment_starts[s];
      const int32_t end = input.segment_starts[s + 1];
      assert(row <= end);
      if (input.segment_entries[s] == input.segment_entries[s + 1]) continue;
      while (wide && end - row > kNarrowRows && fits) {
        const int32_t rows = std::min(kWideRows, end - row);
        if (pass == 1) fits = add(input, s, row, rows);
        row += rows;
      }
      while (pass == 0 && row < end && fits) {
        const int32_t rows = std::min(kNarrowRows, end - row);
        fits = add(input, s, row, rows);
        row += rows;
      }
    }
    if (pass == 0) {
      counts_.narrow_tiles = tiles_;
      counts_.narrow_works = works_;
    }
  }
  counts_.wide_tiles = tiles_ - counts_.narrow_tiles;
  counts_.wide_works = works_ - counts_.narrow_works;
  if (!fits) counts_ = {};
  std::memcpy(bytes_.data(), &counts_, sizeof counts_);
  return fits;
}

PlanCapacity plan_capacity(int32_t rows, int32_t entries_per_row, int32_t rank_blocks) {
  return {rows, rows * entries_per_row, rows * entries_per_row * rank_blocks};
}

}  // namespace lorikeet::cuda
