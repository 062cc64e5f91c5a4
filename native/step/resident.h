// Who an adapter is while it lies in a pool, on whichever device: what a step names it by.
#pragma once
#include <cstdint>

namespace lorikeet {

struct AdapterIdentity {
  int32_t index, generation;
  uint64_t digest;
  bool operator==(const AdapterIdentity&) const = default;
};

// What every device keeps of a resident adapter; immutable once made.
struct Resident {
  int32_t generation = 0;
  uint64_t digest = 0;
  virtual ~Resident() = default;
};

}  // namespace lorikeet
