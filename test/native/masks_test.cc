// Masks of constrained sequences: whose turn they are, what is left of them, and a row that is sampled later because its mask was late.
#include "step/masks.h"
#include <stdexcept>
#include "harness.h"
#include "step/slots.h"

namespace lorikeet::test {
namespace {

bool once(const Kernels& kernels) {
  static const char* first = kernels.name;
  return kernels.name == first;
}

constexpr int32_t kSlots = 2, kVocab = 70, kWords = 3, kStride = 1 + kWords;

Slots slots_of() { return Slots({kSlots, /*block_size=*/4, /*max_batch_tokens=*/32, /*max_model_len=*/64, /*max_logits_rows=*/5, /*block_count=*/16, kVocab}); }

SlotInput input(int32_t slot, std::vector<int32_t> tokens) {
  SlotInput in;
  in.slot = slot;
  in.prompt_length = static_cast<int32_t>(tokens.size());
  in.tokens = std::move(tokens);
  in.options.assign(static_cast<size_t>(SamplingOption::count), 0);
  in.options[static_cast<size_t>(SamplingOption::repetition_penalty)] = 1;
  return in;
}

KERNEL_TEST(a_mask_is_read_once_it_is_the_one_that_was_asked_for) {
  if (!once(kernels)) return;
  std::vector<uint32_t> region(kSlots * kStride, ~uint32_t{0});
  MaskRegions masks(kSlots, kVocab);
  bool refused = false;
  try {
    masks.add(region.data(), region.size() - 1);
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  check(refused, "a region of another size is refused");
  check(masks.add(region.data(), region.size()) == 0, "the first region");
  const MaskAt at = masks.at(1, 0, 9);
  std::vector<uint32_t> to;
  region[kStride] = 8;
  check(masks.read(at, nullptr, nullptr, 0, kVocab, to) == kMaskLate, "a mask with another ticket is late");
  region[kStride] = 9;
  check(masks.read(at, nullptr, nullptr, 0, kVocab, to) == 0, "a mask with its ticket is there");
  check(to[0] == ~uint32_t{0} && to[2] == (1u << (kVocab - 64)) - 1, "tokens beyond the sequence's vocabulary are left out");
  const uint32_t allowed[kWords] = {6, 0, 0};
  const int32_t banned[] = {1};
  check(masks.read(at, allowed, banned, 1, kVocab, to) == 0, "what is allowed too");
  check(to[0] == 4 && to[1] == 0 && to[2] == 0, "without what is banned");
  check(masks.read(at, allowed, banned, 1, 2, to) == kNothingAllowed, "nothing is left");
}

KERNEL_TEST(a_row_whose_mask_is_late_is_sampled_by_a_later_step) {
  if (!once(kernels)) return;
  std::vector<uint32_t> region(kSlots * kStride, 0);
  Slots slots = slots_of();
  slots.add_masks(region.data(), region.size());
  slots.admit(input(0, {1, 2, 3}));
  slots.admit(input(1, {4, 5}));
  StepBatch batch;
  batch.sequences = {{0, 0, 3, 0, 0, 1}, {1, 0, 2, 0, 0, 1}};
  batch.blocks = {{0, 0, 7}, {1, 0, 8}};
  batch.masks = {{1, 0, 5}};
  StepInput in = slots.prepare(batch);
  std::vector<SamplingRow> rows = slots.sampling_rows(in);
  check(rows[0].withheld == 0 && !rows[0].allowed, "who has no mask is sampled");
  check(rows[1].withheld == kMaskLate, "a late row is withheld");
  StepResult result;
  result.tokens = {11, -1};
  result.row_status = {0, kMaskLate};
  slots.sampled(in, result);
  slots.settle(in, false, result.row_status);
  // The one goes on with its token, the other's last token is computed again, and sampled behind.
  region[kStride] = 5;
  region[kStride + 1] = 1u << 9;
  batch.sequences = {{0, 3, 1, 0, 0, 1}, {1, 1, 1, 0, 0, 1}};
  batch.blocks = {};
  in = slots.prepare(batch);
  rows = slots.sampling_rows(in);
  check(rows[1].withheld == 0 && rows[1].allowed[0] == 1u << 9 && rows[1].position == 0, "it is sampled later");
}

}  // namespace
}  // namespace lorikeet::test
