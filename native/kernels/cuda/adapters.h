// Where adapters lie on the device. Everything here is plain data that kernels and host share; see adapters-store/types.ts for the fields.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lorikeet::cuda {

constexpr int kRankBlock = 16;   // ranks that one tensor-core instruction takes
constexpr int kRowUnit = 64;     // rank rows are 64-byte aligned, so a row is named by a 32-bit count of these: 256 GiB of pool

// One site of one resident adapter: the fields of ENTRY in their order, the site's own id replaced by "is it there". Row fields are ordinals into
// DeviceAdapter::rows, -1 = absent.
struct alignas(16) DeviceSite {
  int32_t present = 0, rank = 0, a = -1, b = -1, index = -1, out_scale = -1, bias = -1, in_scale = -1;
};

// One item of the adapter table. `sites` [site_count]; `rows` [row_count], pool offset of each row in kRowUnit bytes.
struct alignas(16) DeviceAdapter {
  const DeviceSite* sites = nullptr;
  const uint32_t* rows = nullptr;
};

// What planning a step needs to know of a resident adapter.
struct AdapterShape {
  int32_t rank_blocks = 0;  // ceil(largest rank / kRankBlock) over its sites with both A and B
  bool direct = false;      // some site has A alone: h = A x goes to the output directly
};

// An adapter's tables as one block of bytes, made once per residency and copied to the device in one piece: sites, then rows.
struct AdapterTables {
  std::vector<uint8_t> bytes;
  size_t rows_at = 0;  // byte offset of the rows; the sites start at 0
  AdapterShape shape;
};

// `rows` [row_count * 2] (image block, byte offset), `entries` [entry_count * 8]: ResidentAdapter of native/types.ts, already checked there.
// `blocks`: pool block of each image block.
AdapterTables make_adapter_tables(const int32_t* rows, int64_t row_count, const int32_t* entries, int64_t entry_count,
                                  const int32_t* blocks, int64_t block_bytes, int32_t site_count);

}  // namespace lorikeet::cuda
