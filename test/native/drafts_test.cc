// Speculative decoding in the persistent batch: what is drafted, computed, and kept of it.
#include "slots_support.h"

namespace lorikeet::test {
namespace {

Slots slots_with_lookup() {
  SlotLimits limits{/*slots=*/4, /*block_size=*/4, /*max_batch_tokens=*/32, /*max_model_len=*/64, /*max_logits_rows=*/5, /*block_count=*/16, /*vocab=*/70};
  limits.lookup = {1, 3};
  return Slots(limits);
}

// A step that samples `tokens`, row by row.
StepResult step(Slots& slots, const StepBatch& batch, std::vector<int32_t> tokens, StepInput* written = nullptr) {
  StepInput in = slots.prepare(batch);
  slots.fill_tokens(in);
  slots.sampling_rows(in);
  StepResult result;
  result.tokens = std::move(tokens);
  result.row_status.assign(result.tokens.size(), 0);
  slots.sampled(in, result);
  slots.settle(in, false, result.row_status);
  if (written) *written = in;
  return result;
}

KERNEL_TEST(drafts_are_found_computed_and_kept_while_they_are_right) {
  if (!once(kernels)) return;
  Slots slots = slots_with_lookup();
  SlotInput repeats = input(0, {5, 6, 7, 8, 5, 6});
  repeats.drafts = 3;
  repeats.stop_tokens = {9};
  repeats.options[static_cast<size_t>(SamplingOption::presence_penalty)] = 1;
  slots.admit(repeats);
  slots.admit(input(1, {5, 5}));
  const std::vector<StepBlock> blocks{{0, 0, 2}, {0, 1, 3}, {0, 2, 4}, {1, 0, 5}};
  StepResult result = step(slots, {{{0, 0, 6, 0, 0, 1}, {1, 0, 2, 0, 0, 1}}, blocks}, {7, 5});
  check(result.drafts == std::vector<int32_t>({3, 8, 0, -1}), "what followed 5 6 7 before, and nothing for who wants none");
  StepInput in;
  result = step(slots, {{{0, 6, 4, 0, 0, 1, 0, 0, 3}, {1, 2, 1, 0, 0, 1}}, {}}, {8, 5, 1, 7, 5}, &in);
  check(in.input_ids == std::vector<int32_t>({7, 8, 5, 6, 5}), "the known token, then the draft");
  check(in.logits_indices == std::vector<int32_t>({0, 1, 2, 3, 4}), "a row after each of them");
  check(in.drafted.size() == 3 && in.drafted[2].position == 9 && in.drafted[2].token == 6, "for a device that keeps the tokens");
  check(result.row_status == std::vector<uint8_t>({0, 0, 0, kNotReached, 0}), "two of three stay, and one token comes behind them");
  check(result.drafts == std::vector<int32_t>({0, -1, 0, -1}), "1 has not stood before");
  check(refusal([&] { slots.prepare({{{0, 10, 1, 0, 0, 1}}, {}}); }).find("past + count is 11") != std::string::npos, "what was not reached is not there");
  // Penalties count the drafts before each row, and not those that were wrong.
  result = step(slots, {{{0, 9, 1, 0, 0, 1}}, {}}, {5});
  check(result.drafts == std::vector<int32_t>({3, 1}), "the later place where 5 stood");
  StepInput drafted = slots.prepare({{{0, 10, 3, 0, 0, 1, 0, 0, 2}}, {{0, 3, 6}}});
  slots.fill_tokens(drafted);
  const auto rows = slots.sampling_rows(drafted);
  const auto count = [&](size_t row, int32_t token) {
    for (int32_t i = 0; i < rows[row].count_count; i++)
      if (rows[row].counts[i].token == token) return rows[row].counts[i].occurrences;
    return 0;
  };
  check(count(0, 1) == 1 && count(1, 1) == 2 && count(2, 1) == 2 && count(1, 5) == 4 && count(2, 5) == 5, "counts behind each draft");
  StepResult ends;
  ends.tokens = {9, 5, 5};
  ends.row_status = {0, 0, 0};
  slots.sampled(drafted, ends);
  check(ends.stopped[0] == 1 && ends.row_status == std::vector<uint8_t>({0, kNotReached, kNotReached}), "nothing comes behind a stop token");
  slots.settle(drafted, false, ends.row_status);
}

KERNEL_TEST(what_may_not_be_drafted) {
  if (!once(kernels)) return;
  Slots slots = slots_with_lookup();
  SlotInput repeats = input(0, {5, 6, 7, 5, 6});
  repeats.drafts = 2;
  slots.admit(repeats);
  const auto refused = [&](const StepBatch& batch, const char* what) { check(refusal([&] { slots.prepare(batch); }).find(what) != std::string::npos, what); };
  const std::vector<StepBlock> blocks{{0, 0, 2}, {0, 1, 3}};
  refused({{{0, 0, 6, 0, 0, 1, 0, 0, 1}}, blocks}, "of the sequence 0 tokens are drafted");
  step(slots, {{{0, 0, 5, 0, 0, 1}}, blocks}, {7});
  refused({{{0, 5, 2, 0, 0, 0, 0, 0, 1}}, {}}, "drafts come behind a token that is known");
  refused({{{0, 5, 1, 0, 0, 1, 0, 0, 1}}, {}}, "drafts come behind a token that is known");
  refused({{{0, 5, 2, 0, 0, 1, 0, 0, -1}}, {}}, "drafts come behind a token that is known");
  refused({{{0, 5, 4, 0, 0, 1, 0, 0, 3}}, {}}, "of the sequence 2 tokens are drafted");
  refused({{{0, 5, 4, 0, 0, 1, 0, 0, 2}}, {}}, "past + count");
  StepInput in = slots.prepare({{{0, 5, 3, 0, 0, 1, 0, 0, 2}}, {}});
  refused({{{0, 8, 2, 0, 0, 1, 0, 0, 1}}, {{0, 2, 4}}}, "drafts come behind a token that is known");
  // It fails: the draft is still there.
  slots.settle(in, true);
  step(slots, {{{0, 5, 3, 0, 0, 1, 0, 0, 2}}, {}}, {5, 6, 7});
}

}  // namespace
}  // namespace lorikeet::test
