// Masks of constrained sequences: whose turn they are, what is left of them, and a row that is sampled later because its mask was late.
#include "step/masks.h"
#include <atomic>
#include <stdexcept>
#include <thread>
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

KERNEL_TEST(each_region_and_slot_has_its_own_place) {
  if (!once(kernels)) return;
  std::vector<uint32_t> one(kSlots * kStride, 0), two(kSlots * kStride, 0);
  MaskRegions masks(kSlots, kVocab);
  check(masks.add(one.data(), one.size()) == 0 && masks.add(two.data(), two.size()) == 1, "regions are counted");
  for (int32_t region : {-1, 2}) {
    bool refused = false;
    try {
      masks.at(0, region, 1);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    check(refused, "a region that is not there is refused");
  }
  // Tickets are 32 bits, and go on where they wrap around.
  two[kStride] = 0xffffffff;
  two[kStride + 1] = 5;
  std::vector<uint32_t> to;
  check(masks.read(masks.at(1, 1, -1), nullptr, nullptr, 0, kVocab, to) == 0 && to[0] == 5, "the second region's second slot");
  check(masks.read(masks.at(0, 1, -1), nullptr, nullptr, 0, kVocab, to) == kMaskLate, "its first has another ticket");
  check(masks.read(masks.at(1, 0, -1), nullptr, nullptr, 0, kVocab, to) == kMaskLate, "and the first region's too");
}

KERNEL_TEST(a_vocabulary_ends_at_any_bit_of_a_word) {
  if (!once(kernels)) return;
  std::vector<uint32_t> region(kSlots * kStride, ~uint32_t{0});
  region[0] = 1;
  MaskRegions masks(kSlots, kVocab);
  masks.add(region.data(), region.size());
  for (int32_t vocab : {1, 31, 32, 33, 64, 69, 70}) {
    std::vector<uint32_t> to;
    check(masks.read(masks.at(0, 0, 1), nullptr, nullptr, 0, vocab, to) == 0 && to.size() == kWords, "there is a mask");
    for (int32_t id = 0; id < kWords * 32; id++) check(((to[id >> 5] >> (id & 31)) & 1) == (id < vocab), "tokens below the vocabulary's end, and no others");
    const int32_t last[] = {vocab - 1};
    check(masks.read(masks.at(0, 0, 1), nullptr, last, 1, vocab, to) == (vocab == 1 ? kNothingAllowed : 0), "its last token can be left out");
  }
}

KERNEL_TEST(a_mask_that_another_thread_writes_is_seen_whole) {
  if (!once(kernels)) return;
  constexpr uint32_t kRounds = 20000;
  std::vector<uint32_t> region(kSlots * kStride, 0);
  MaskRegions masks(kSlots, kVocab);
  masks.add(region.data(), region.size());
  std::atomic<uint32_t> wanted{1};
  // As a mask thread does: the words, then the ticket; the next mask is only written once the last one was read.
  std::thread writer([&] {
    for (uint32_t round = 1; round <= kRounds; round++) {
      while (wanted.load(std::memory_order_acquire) != round) std::this_thread::yield();
      for (int32_t i = 1; i <= kWords; i++) region[i] = round;
      std::atomic_ref<uint32_t>(region[0]).store(round, std::memory_order_release);
    }
  });
  bool whole = true;
  for (uint32_t round = 1; round <= kRounds; round++) {
    std::vector<uint32_t> to;
    while (masks.read(masks.at(0, 0, static_cast<int32_t>(round)), nullptr, nullptr, 0, kWords * 32, to) == kMaskLate) std::this_thread::yield();
    for (const uint32_t word : to) whole = whole && word == round;
    wanted.store(round + 1, std::memory_order_release);
  }
  writer.join();
  check(whole, "no word of an older mask");
}

}  // namespace
}  // namespace lorikeet::test
