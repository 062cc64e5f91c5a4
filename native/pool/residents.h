// Adapters that lie in a pool, whichever device it is on: the identity of what was put where, and what an image must satisfy.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>
#include "../step/step.h"

namespace lorikeet {

// Field order of one entry, as ENTRY in adapters-store/types.ts.
struct AdapterEntry {
  int32_t site, rank, a, b, index, out_scale, bias, in_scale;
};

// native/types.ts's PackedAdapter without its identity; the caller keeps the arrays.
struct PackedAdapter {
  const uint8_t* image = nullptr;
  size_t bytes = 0;
  const int32_t* blocks = nullptr;
  size_t block_count = 0;
  const int32_t* rows = nullptr;  // [row_count * 2]
  size_t row_count = 0;
  const AdapterEntry* entries = nullptr;
  size_t entry_count = 0;
};

// Throws std::invalid_argument when anything is out of range for a pool of `block_count` blocks of `block_bytes`, or for `site_count` sites.
void check_image(const AdapterIdentity& id, const PackedAdapter& image, int64_t block_count, int64_t block_bytes, int32_t site_count);

// Used from the engine's JavaScript thread only; a step keeps what it resolved alive by shared ownership.
class ResidentTable {
 public:
  void put(int32_t index, std::shared_ptr<Resident> resident);
  std::shared_ptr<Resident> drop(int32_t index);  // null if there was none
  std::shared_ptr<Resident> at(int32_t index) const;
  // Null unless exactly this residency is in the table.
  std::shared_ptr<const Resident> find(const AdapterIdentity& id) const;

 private:
  std::vector<std::shared_ptr<Resident>> table_;
};

// Looks the batch's adapters up: fills input.resolved and input.segment_status.
void resolve_adapters(const ResidentTable& table, StepInput& input);

}  // namespace lorikeet
