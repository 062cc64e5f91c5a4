// A table on the device that is changed as StepInput::blocks says is the slot's, whatever becomes of the steps between.
#include "slots_check.h"
#include <optional>
#include "../../native/step/slots.h"
#include "../native/harness.h"

namespace lorikeet::test {
namespace {

constexpr int32_t kBlockSize = 4, kSlots = 3, kPlaces = 16;

class Tables {
 public:
  Tables() : slots_({.slots = kSlots, .block_size = kBlockSize, .max_batch_tokens = 64, .max_model_len = kBlockSize * kPlaces, .max_logits_rows = kSlots, .block_count = 100, .vocab_size = 50}) {
    for (int32_t slot = 0; slot < kSlots; slot++) admit(slot);
  }
  void admit(int32_t slot) {
    SlotInput input;
    input.slot = slot;
    input.tokens.assign(6, 1);
    input.prompt_length = 6;
    input.options.resize(kSamplingOptions);
    input.options[static_cast<size_t>(SamplingOption::repetition_penalty)] = 1;
    slots_.admit(std::move(input));
  }
  // Computes `count` tokens of the slot behind `past`. `blocks`: what its table gains.
  std::optional<StepInput> step(int32_t slot, int32_t past, int32_t count, const std::vector<StepBlock>& blocks) {
    StepBatch batch;
    batch.sequences.push_back({slot, past, count, 0, 0, 0});
    batch.blocks = blocks;
    try {
      return slots_.prepare(batch);
    } catch (const std::invalid_argument&) {
      return std::nullopt;
    }
  }
  // The step runs: the device's tables change.
  void run(const StepInput& input) {
    for (const auto& [slot, place, block] : input.blocks) device_[slot][place] = block;
    slots_.settle(input, false);
  }
  void fail(const StepInput& input) { slots_.settle(input, true); }
  void check_table(int32_t slot, const char* what) const {
    const std::vector<int32_t>& blocks = slots_.at(slot).blocks;
    check(std::equal(blocks.begin(), blocks.end(), device_[slot]), what);
  }
  Slots& slots() { return slots_; }

 private:
  Slots slots_;
  int32_t device_[kSlots][kPlaces] = {};
};

}  // namespace

void check_slots() {
  Tables tables;
  const auto first = tables.step(0, 0, 6, {{0, 0, 10}, {0, 1, 11}});
  check(first && first->blocks.size() == 2, "a first step hands its blocks over");
  tables.run(*first);
  tables.check_table(0, "and the table has them");
  const auto second = tables.step(0, 4, 2, {});
  check(second && second->blocks.empty(), "a step without new blocks hands none over");
  tables.run(*second);

  // Another block in a place that had one.
  const auto replaced = tables.step(0, 4, 2, {{0, 1, 12}});
  check(replaced.has_value(), "a place may get another block");
  tables.run(*replaced);
  tables.check_table(0, "a block that was replaced");

  // Two steps in flight, the first of which fails and the second is dropped with it.
  const auto failed = tables.step(1, 0, 4, {{1, 0, 20}}), dropped = tables.step(1, 4, 2, {{1, 1, 21}});
  check(failed && dropped && dropped->blocks.size() == 1, "the second of two hands over its own alone");
  tables.fail(*failed);
  tables.fail(*dropped);
  const auto again = tables.step(1, 0, 4, {});
  check(again.has_value(), "the blocks are the slot's all the same");
  tables.run(*again);
  tables.check_table(1, "after steps that did not run the next one hands everything over");

  // A batch that is refused after it was told its blocks: 10 is another slot's.
  check(!tables.step(2, 0, 6, {{2, 0, 30}, {2, 1, 10}}), "a step may not write into another's block");
  const auto right = tables.step(2, 0, 6, {{2, 1, 31}});
  check(right.has_value(), "with another block it may");
  tables.run(*right);
  tables.check_table(2, "what a refused batch brought is handed over with the next one");

  // A slot that is let go and taken anew starts with nothing.
  tables.slots().release(0);
  tables.admit(0);
  const auto anew = tables.step(0, 0, 6, {{0, 0, 12}, {0, 1, 10}});
  check(anew && anew->blocks.size() == 2, "a slot taken anew hands its blocks over");
  check(!tables.step(0, kBlockSize * kPlaces, 1, {}), "no token is computed beyond the longest sequence");
}

}  // namespace lorikeet::test
