#include "residents.h"

namespace lorikeet {

void resolve_adapters(const ResidentTable& table, StepInput& input) {
  const size_t segments = input.segment_starts.size() - 1;
  input.segment_status.assign(segments, 0);
  input.resolved.assign(input.entry_adapter.size(), nullptr);
  for (size_t s = 0; s < segments; s++)
    for (int32_t e = input.segment_entries[s]; e < input.segment_entries[s + 1]; e++) {
      input.resolved[e] = table.find({input.entry_adapter[e], input.entry_generation[e], input.entry_digest[e]});
      if (!input.resolved[e]) input.segment_status[s] = 1;
    }
}

}  // namespace lorikeet
