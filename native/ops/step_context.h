// What the custom ops of a session share: the adapters that the running step resolved, the pool's row type, and the step's sampling.
#pragma once
#include <memory>
#include <span>
#include <vector>
#include "../numeric/cache_type.h"
#include "../ort/packed_weights.h"
#include "../pool/host_blocks.h"
#include "../step/slots.h"

namespace lorikeet {

struct StepContext {
  DType adapter_dtype = DType::f16;
  CacheType cache = CacheType::f32;
  int32_t block_size = 0;
  int threads = 1;
  int64_t vocab_size = 0;    // the base's
  int64_t added_tokens = 0;  // that adapters may add to it, behind its own
  // Weights that ops name by their places here: they are looked up when the session is made.
  std::span<const PackedWeight> packed;
  // Indexed by the graph input entry_adapter; null where the identity did not match (its segment is void).
  std::vector<std::shared_ptr<const Resident>> adapters;
  // The running step, and the slots by which it samples.
  Step* step = nullptr;
  Slots* slots = nullptr;
};

}  // namespace lorikeet
