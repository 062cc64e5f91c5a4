// Prefill chunks, decode rows and padding in one step, and steps larger than a block of threads; tables that change between steps.
#include "step_inputs_check.h"
#include "../native/harness.h"
#include "kernels/cuda/step_inputs.h"
#include "memory.h"

namespace lorikeet::test {
namespace {

constexpr int32_t kSlots = 70, kLength = 600, kBlockSize = 16, kPlaces = 40, kViews = 6;

class SlotsOnDevice {
 public:
  explicit SlotsOnDevice(Random& random) : random_(random), tokens_(drawn(kSlots * kLength, 100000)), histories_(tokens_) {}

  // Some places of every slot's table, all of them the first time.
  void change_tables() {
    std::vector<cuda::TableChange> changes;
    for (int32_t slot = 0; slot < kSlots; slot++)
      for (int32_t place = 0; place < kPlaces; place++)
        if (tables_now_[slot * kPlaces + place] < 0 || random_.below(9) == 0)
          changes.push_back({slot, place, tables_now_[slot * kPlaces + place] = random_.below(1 << 20)});
    const OnDevice<cuda::TableChange> there(changes);
    must(cuda::change_tables(state(), there.data(), static_cast<int32_t>(changes.size()), nullptr), "change_tables");
    check(tables_.get() == tables_now_, "block tables after changes");
  }

  void check_step(int32_t sequences, int32_t longest, int32_t columns, const char* what) {
    std::vector<int32_t> slots, cumulative{0}, past, want_ids, want_mapping, want_table;
    for (int32_t b = 0; b < sequences; b++) {
      const bool pads = random_.below(6) == 0;
      const int32_t slot = pads ? -1 : b, count = pads ? 1 : 1 + random_.below(longest);
      past.push_back(pads ? 0 : random_.below(columns * kBlockSize - count + 1));
      slots.push_back(slot);
      cumulative.push_back(cumulative.back() + count);
      const int32_t* const table = tables_now_.data() + b * kPlaces;
      for (int32_t p = past[b]; p < past[b] + count; p++) {
        want_ids.push_back(pads ? 0 : tokens_[slot * kLength + p]);
        want_mapping.push_back(pads ? -1 : table[p / kBlockSize] * kViews * kBlockSize + p % kBlockSize);
      }
      for (int32_t c = 0; c < columns; c++) want_table.push_back(pads || c * kBlockSize >= past[b] + count ? 0 : table[c] * kViews);
    }
    const OnDevice<int32_t> at(slots), starts(cumulative), before(past), ids(want_ids.size()), mapping(want_ids.size()), table(want_table.size());
    cuda::StepInputs inputs;
    inputs.state = state();
    inputs.slots = at.data();
    inputs.cumulative = starts.data();
    inputs.past = before.data();
    inputs.sequences = sequences;
    inputs.columns = columns;
    inputs.tokens = cumulative.back();
    inputs.block_size = kBlockSize;
    inputs.views = kViews;
    inputs.input_ids = ids.data();
    inputs.slot_mapping = mapping.data();
    inputs.block_table = table.data();
    must(cuda::fill_step_inputs(inputs, nullptr), "fill_step_inputs");
    check(ids.get() == want_ids && mapping.get() == want_mapping && table.get() == want_table, what);
  }

 private:
  std::vector<int32_t> drawn(int32_t count, int32_t below) {
    std::vector<int32_t> all(count);
    for (int32_t& one : all) one = random_.below(below);
    return all;
  }
  cuda::SlotState state() const { return {histories_.data(), tables_.data(), kLength, kPlaces}; }

  Random& random_;
  std::vector<int32_t> tokens_, tables_now_ = std::vector<int32_t>(kSlots * kPlaces, -1);
  OnDevice<int32_t> histories_, tables_{kSlots * kPlaces};
};

}  // namespace

void check_step_inputs() {
  Random random(17);
  SlotsOnDevice slots(random);
  for (int round = 0; round < 4; round++) {
    slots.change_tables();
    slots.check_step(1, 1, 1, "step inputs: one row");
    slots.check_step(64, 1, 32, "step inputs: decode rows");
    slots.check_step(1 + random.below(40), 200, 13 + random.below(20), "step inputs: chunks of prompts");
  }
}

}  // namespace lorikeet::test
