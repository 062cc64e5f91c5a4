// Where adapters lie on the device. Everything here is plain data that kernels and host share; see adapters-store/types.ts for the fields.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lorikeet::cuda {

constexpr int kRankBlock = 16;   // ranks that one tensor-core instruction takes
constexpr int kRowUnit = 64;     // rank rows are 64-byte aligned, so a row is named by a 32-bit count of these: 256 GiB of pool

// An adapter's tables on the device are one block of bytes, named by its address: the sites, the rank rows by rank block, then a list of all rows. A
// kernel that knows the address, the site and the rank block finds the rows in one dependent read, which is what a short decode step is made of.
//
// One site of one resident adapter: the fields of ENTRY in their order, the site's own id replaced by "is it there". Row fields are places in the list
// of rows, counted from the start of the rank rows; -1 = absent.
struct alignas(16) DeviceSite {
  int32_t present = 0, rank = 0, a = -1, b = -1, index = -1, out_scale = -1, bias = -1, in_scale = -1;
};

constexpr uint32_t kNoRow = 0xffffffff;

// The rank rows of one rank block of one site with both A and B: where they lie in the pool, in kRowUnit bytes; kNoRow past the site's rank.
struct alignas(64) RankRows {
  uint32_t a[kRankBlock], b[kRankBlock];
};

// Where the rank rows start: RankRows of (site, rank block), the adapter's AdapterShape::rank_blocks for each site.
inline size_t rank_rows_at(int64_t site_count) { return (sizeof(DeviceSite) * site_count + 63) / 64 * 64; }

// What planning a step needs to know of a resident adapter.
struct AdapterShape {
  int32_t rank_blocks = 0;  // ceil(largest rank / kRankBlock) over its sites with both A and B
  bool direct = false;      // some site has A alone: h = A x goes to the output directly
};

// An adapter's tables, made once per residency and copied to the device in one piece, 64-byte aligned.
struct AdapterTables {
  std::vector<uint8_t> bytes;
  AdapterShape shape;
};

// `rows` [row_count * 2] (page, byte offset), `entries` [entry_count * 8]: PackedAdapter of native/types.ts, already checked there.
// `pages`: byte of the pool at which each of the image's pages lies.
AdapterTables make_adapter_tables(const int32_t* rows, int64_t row_count, const int32_t* entries, int64_t entry_count,
                                  const int64_t* pages, int32_t site_count);

}  // namespace lorikeet::cuda
