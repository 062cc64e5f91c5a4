// The pool: one region of equal blocks for KV cache and adapter weights, and the table of adapters that lie in it.
// Who owns which block is decided above (runtime/pool); here is only memory, and the identity of what was put there.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>
#include "../kernels/kernels.h"

namespace lorikeet {

// Anonymous, zero-filled, 2 MiB-aligned where the system allows (huge pages).
class Pool {
 public:
  Pool(int64_t block_count, int64_t block_bytes);
  Pool(const Pool&) = delete;
  ~Pool();
  uint8_t* block(int64_t i) const { return base_ + i * block_bytes_; }
  uint8_t* data() const { return base_; }
  int64_t block_count() const { return block_count_; }
  int64_t block_bytes() const { return block_bytes_; }

 private:
  uint8_t* base_ = nullptr;
  size_t mapped_ = 0;
  int64_t block_count_, block_bytes_;
};

// Field order of one entry, as ENTRY in adapters-store/types.ts.
struct AdapterEntry {
  int32_t site, rank, a, b, index, out_scale, bias, in_scale;
};

// An adapter that lies in the pool: per site, pointers to its rows. Immutable once made.
struct ResidentAdapter {
  int32_t generation = 0;
  uint64_t digest = 0;
  std::vector<const void*> rows;
  std::vector<SiteDelta> deltas;
  std::vector<const SiteDelta*> by_site;  // [site_count], null where it changes nothing
};

struct AdapterIdentity {
  int32_t index, generation;
  uint64_t digest;
};

// Used from the engine's JavaScript thread only; a step keeps what it resolved alive by shared ownership.
class AdapterTable {
 public:
  AdapterTable(const Pool& pool, int32_t site_count) : pool_(pool), site_count_(site_count) {}
  // Copies `image` into `blocks` and enters it. Throws std::invalid_argument on anything out of range, before a byte is written.
  void put(const AdapterIdentity& id, const uint8_t* image, size_t image_bytes, const int32_t* blocks, size_t block_count,
           const int32_t* rows, size_t row_count, const AdapterEntry* entries, size_t entry_count);
  void drop(int32_t index);
  // Null unless exactly this residency is in the table.
  std::shared_ptr<const ResidentAdapter> resolve(const AdapterIdentity& id) const;

 private:
  const Pool& pool_;
  int32_t site_count_;
  std::vector<std::shared_ptr<const ResidentAdapter>> table_;
};

}  // namespace lorikeet
