#include "adapters.h"
#include <algorithm>
#include <cassert>
#include <cstring>
#include <iterator>

namespace lorikeet::cuda {

AdapterTables make_adapter_tables(const int32_t* rows, int64_t row_count, const int32_t* entries, int64_t entry_count,
                                  const int64_t* pages, int32_t site_count) {
  const auto place = [&](int64_t row) {
    const int64_t offset = pages[rows[2 * row]] + rows[2 * row + 1];
    assert(offset % kRowUnit == 0 && offset / kRowUnit < kNoRow);
    return static_cast<uint32_t>(offset / kRowUnit);
  };
  AdapterTables made;
  for (int64_t e = 0; e < entry_count; e++) {
    const int32_t rank = entries[e * 8 + 1], b = entries[e * 8 + 3];
    if (rank > 0 && b >= 0) made.shape.rank_blocks = std::max(made.shape.rank_blocks, (rank + kRankBlock - 1) / kRankBlock);
    made.shape.direct |= rank > 0 && b < 0;
  }
  std::vector<DeviceSite> sites(site_count);
  std::vector<RankRows> ranks(static_cast<size_t>(site_count) * made.shape.rank_blocks);
  for (RankRows& block : ranks) {
    std::fill(std::begin(block.a), std::end(block.a), kNoRow);
    std::fill(std::begin(block.b), std::end(block.b), kNoRow);
  }
  const auto first_row = static_cast<int32_t>(ranks.size() * (sizeof(RankRows) / sizeof(uint32_t)));  // the list follows the rank blocks
  const auto listed = [&](int32_t row) { return row < 0 ? -1 : first_row + row; };
  for (int64_t e = 0; e < entry_count; e++) {
    const int32_t* entry = entries + e * 8;
    assert(entry[0] >= 0 && entry[0] < site_count);
    sites[entry[0]] = {1, entry[1], listed(entry[2]), listed(entry[3]), listed(entry[4]), listed(entry[5]), listed(entry[6]), listed(entry[7])};
    for (int32_t j = 0; entry[3] >= 0 && j < entry[1]; j++) {
      RankRows& block = ranks[static_cast<size_t>(entry[0]) * made.shape.rank_blocks + j / kRankBlock];
      block.a[j % kRankBlock] = place(entry[2] + j);
      block.b[j % kRankBlock] = place(entry[3] + j);
    }
  }
  const size_t ranks_at = rank_rows_at(site_count), rows_at = ranks_at + sizeof(RankRows) * ranks.size();
  made.bytes.resize(rows_at + sizeof(uint32_t) * row_count);
  if (site_count > 0) std::memcpy(made.bytes.data(), sites.data(), sizeof(DeviceSite) * site_count);
  if (!ranks.empty()) std::memcpy(made.bytes.data() + ranks_at, ranks.data(), sizeof(RankRows) * ranks.size());
  for (int64_t r = 0; r < row_count; r++) {
    const uint32_t unit = place(r);
    std::memcpy(made.bytes.data() + rows_at + sizeof unit * r, &unit, sizeof unit);
  }
  return made;
}

}  // namespace lorikeet::cuda
