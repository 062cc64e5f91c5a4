#include "adapters.h"
#include <algorithm>
#include <cassert>
#include <cstring>

namespace lorikeet::cuda {

AdapterTables make_adapter_tables(const int32_t* rows, int64_t row_count, const int32_t* entries, int64_t entry_count,
                                  const int32_t* blocks, int64_t block_bytes, int32_t site_count) {
  AdapterTables made;
  made.rows_at = sizeof(DeviceSite) * site_count;
  made.bytes.resize(made.rows_at + sizeof(uint32_t) * row_count);
  std::vector<DeviceSite> sites(site_count);
  for (int64_t e = 0; e < entry_count; e++) {
    const int32_t* entry = entries + e * 8;
    assert(entry[0] >= 0 && entry[0] < site_count);
    DeviceSite& site = sites[entry[0]];
    site = {1, entry[1], entry[2], entry[3], entry[4], entry[5], entry[6], entry[7]};
    if (site.rank > 0 && site.b >= 0)
      made.shape.rank_blocks = std::max(made.shape.rank_blocks, (site.rank + kRankBlock - 1) / kRankBlock);
    made.shape.direct |= site.rank > 0 && site.b < 0;
  }
  if (site_count > 0) std::memcpy(made.bytes.data(), sites.data(), made.rows_at);
  for (int64_t r = 0; r < row_count; r++) {
    const int64_t offset = blocks[rows[2 * r]] * block_bytes + rows[2 * r + 1];
    assert(offset % kRowUnit == 0 && offset / kRowUnit <= UINT32_MAX);
    const uint32_t unit = static_cast<uint32_t>(offset / kRowUnit);
    std::memcpy(made.bytes.data() + made.rows_at + sizeof unit * r, &unit, sizeof unit);
  }
  return made;
}

}  // namespace lorikeet::cuda
