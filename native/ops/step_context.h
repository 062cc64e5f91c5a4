// What the custom ops of a session share: the adapters that the running step resolved, the pool's row type, and the step's sampling.
#pragma once
#include <memory>
#include <vector>
#include "../step/step.h"
#include "../pool/pool.h"

namespace lorikeet {

struct StepContext {
  DType adapter_dtype = DType::f16;
  int threads = 1;
  int64_t vocab_size = 0;
  // Indexed by the graph input entry_adapter; null where the identity did not match (its segment is void).
  std::vector<std::shared_ptr<const Resident>> adapters;
  // How the running step samples, and where Sample puts what it finds.
  const SamplingInput* sampling = nullptr;
  bool return_logits = false;
  StepResult* result = nullptr;
};

}  // namespace lorikeet
