// Prefill chunks, decode rows and padding in one step, and steps larger than a block of threads.
#include "step_inputs_check.h"
#include <list>
#include "../native/harness.h"
#include "kernels/cuda/step_inputs.h"
#include "memory.h"

namespace lorikeet::test {
namespace {

void check_batch(Random& random, int32_t sequences, int32_t longest, const char* what) {
  constexpr int32_t block_size = 16, columns = 40;
  std::list<OnDevice<int32_t>> tokens;
  std::vector<const int32_t*> histories;
  std::vector<int32_t> cumulative{0}, past, table, want_ids, want_slots;
  for (int32_t b = 0; b < sequences; b++) {
    const bool pads = random.below(6) == 0;
    past.push_back(pads ? 0 : random.below(300));
    const int32_t count = pads ? 1 : 1 + random.below(longest), first = static_cast<int32_t>(table.size());
    std::vector<int32_t> history(past[b] + count);
    for (int32_t& token : history) token = random.below(100000);
    for (int32_t c = 0; c < columns; c++) table.push_back(random.below(1 << 20));
    for (int32_t p = past[b]; p < past[b] + count; p++) {
      want_ids.push_back(pads ? 0 : history[p]);
      want_slots.push_back(pads ? -1 : table[first + p / block_size] * block_size + p % block_size);
    }
    histories.push_back(pads ? nullptr : tokens.emplace_back(history).data());
    cumulative.push_back(cumulative.back() + count);
  }
  const OnDevice<const int32_t*> at(histories);
  const OnDevice<int32_t> starts(cumulative), before(past), blocks(table), ids(want_ids.size()), slots(want_ids.size());
  must(cuda::fill_step_inputs({at.data(), starts.data(), before.data(), blocks.data(), sequences, columns, block_size, cumulative.back(), ids.data(), slots.data()},
                              nullptr),
       "fill_step_inputs");
  check(ids.get() == want_ids && slots.get() == want_slots, what);
}

}  // namespace

void check_step_inputs() {
  Random random(17);
  check_batch(random, 1, 1, "step inputs: one row");
  for (int i = 0; i < 5; i++) check_batch(random, 64, 1, "step inputs: decode rows");
  for (int i = 0; i < 5; i++) check_batch(random, 1 + random.below(40), 200, "step inputs: chunks of prompts");
}

}  // namespace lorikeet::test
