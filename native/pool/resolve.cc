#include "residents.h"

namespace lorikeet {

void resolve_adapters(const ResidentTable& table, StepInput& input) {
  input.segment_status.assign(input.segment_entries.size() - 1, 0);
  input.resolved.assign(input.entries.size(), nullptr);
  for (size_t s = 0; s < input.segment_status.size(); s++)
    for (int32_t e = input.segment_entries[s]; e < input.segment_entries[s + 1]; e++) {
      input.resolved[e] = table.find(input.entries[e]);
      if (!input.resolved[e]) input.segment_status[s] = 1;
    }
}

}  // namespace lorikeet
