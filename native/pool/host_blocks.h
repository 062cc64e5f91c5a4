// The CPU's pool: one region of equal blocks for KV cache and adapter weights, and the adapters that lie in it.
// Who owns which block is decided above (runtime/pool); here is only memory.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>
#include "../kernels/kernels.h"
#include "residents.h"

namespace lorikeet {

// Anonymous, zero-filled, 2 MiB-aligned where the system allows (huge pages).
class HostBlocks {
 public:
  HostBlocks(int64_t block_count, int64_t block_bytes);
  HostBlocks(const HostBlocks&) = delete;
  ~HostBlocks();
  uint8_t* block(int64_t i) const { return base_ + i * block_bytes_; }
  uint8_t* data() const { return base_; }
  int64_t block_count() const { return block_count_; }
  int64_t block_bytes() const { return block_bytes_; }

 private:
  uint8_t* base_ = nullptr;
  size_t mapped_ = 0;
  int64_t block_count_, block_bytes_;
};

// An adapter that has its blocks of the pool: per site, pointers to its rows. They are read where they lie already, in the image: pool and host tier are the same
// memory's, and a copy of each would cost twice. Its blocks stay its own, so that what fits is decided as on a device, and are not touched.
struct CpuResident : Resident {
  std::vector<const void*> rows;
  std::vector<SiteDelta> deltas;
  std::vector<const SiteDelta*> by_site;  // [site_count], null where it changes nothing
};

// `image` has been checked against `limits`; its bytes must stay for as long as what is returned.
std::shared_ptr<CpuResident> point_into(const AdapterIdentity& id, const PackedAdapter& image, const ImageLimits& limits);

}  // namespace lorikeet
