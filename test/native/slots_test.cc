// The persistent batch: what a step is written out as, what is refused, and what sampling reads of a slot. No instruction sets: each test runs once.
#include "step/slots.h"
#include <limits>
#include "slots_support.h"

namespace lorikeet::test {
namespace {

// A step in which `tokens` are sampled, one for each of the batch's sequences.
void run(Slots& slots, const StepBatch& batch, std::vector<int32_t> tokens, std::vector<uint8_t>* stopped = nullptr) {
  StepInput in = slots.prepare(batch);
  slots.fill_tokens(in);
  slots.sampling_rows(in);
  StepResult result;
  result.tokens = std::move(tokens);
  result.row_status.assign(result.tokens.size(), 0);
  slots.sampled(in, result);
  slots.settle(in, false);
  if (stopped) *stopped = result.stopped;
}

KERNEL_TEST(a_step_is_written_out_from_slots) {
  if (!once(kernels)) return;
  Slots slots = slots_of();
  SlotInput first = input(1, {5, 6, 7, 8, 9});
  first.adapters = {{3, 1, 77}};
  first.weights = {0.5f};
  SlotInput second = first;
  second.slot = 0;
  second.tokens = {1, 2};
  second.prompt_length = 2;
  slots.admit(first);
  slots.admit(second);
  slots.admit(input(2, {4}));
  StepInput in = slots.prepare({{{1, 0, 5, 1, 2, 1}, {0, 0, 2, 0, 0, 1}, {2, 0, 1, 0, 0, 0}}, {{1, 0, 9}, {1, 1, 3}, {0, 0, 5}, {2, 0, 6}}});
  slots.fill_tokens(in);
  check(in.input_ids == std::vector<int32_t>({5, 6, 7, 8, 9, 1, 2, 4}), "token ids");
  check(in.cumulative == std::vector<int32_t>({0, 5, 7, 8}) && in.past == std::vector<int32_t>({0, 0, 0}), "lengths");
  check(in.columns() == 2 && in.block_table == std::vector<int32_t>({9, 3, 5, 0, 6, 0}), "block table");
  check(in.slot_mapping == std::vector<int32_t>({36, 37, 38, 39, 12, 20, 21, 24}), "slot mapping");
  check(in.segment_starts == std::vector<int32_t>({0, 7, 8}) && in.segment_entries == std::vector<int32_t>({0, 1, 1}), "neighbours share a segment");
  check(in.segment_of == std::vector<int32_t>({0, 0, 1}), "segment of each sequence");
  check(in.logits_indices == std::vector<int32_t>({1, 2, 4, 6}), "scored rows, then the one that samples");
  const auto rows = slots.sampling_rows(in);
  check(rows[0].target == 7 && rows[1].target == 8 && rows[2].target == -1, "a scored row's target is the prompt's next token");
}

KERNEL_TEST(adapters_act_from_their_position_on) {
  if (!once(kernels)) return;
  Slots slots = slots_of();
  SlotInput late = input(0, {5, 6, 7, 8, 9});
  late.adapters = {{3, 1, 77}};
  late.weights = {1};
  late.adapters_from = 3;
  slots.admit(late);
  SlotInput whole = late;
  whole.slot = 1;
  whole.adapters_from = 0;
  slots.admit(whole);
  slots.admit(input(2, {4, 4}));
  // Before, across, from on: the base's part joins the base's segment before it, the adapter's the one that comes after.
  StepInput across = slots.prepare({{{2, 0, 2, 0, 0, 0}, {0, 0, 5, 1, 3, 1}, {1, 0, 2, 0, 0, 0}}, {{2, 0, 6}, {0, 0, 9}, {0, 1, 3}, {1, 0, 5}}});
  check(across.segment_starts == std::vector<int32_t>({0, 5, 9}) && across.segment_entries == std::vector<int32_t>({0, 0, 1}), "two segments of one sequence");
  check(across.segment_of == std::vector<int32_t>({0, 1, 1}), "a sequence's status is its adapters'");
  check(across.logits_indices == std::vector<int32_t>({3, 4, 5, 6}), "scored rows lie in their tokens' segments");
  slots.settle(across, true);
  StepInput before = slots.prepare({{{0, 0, 3, 0, 0, 0}, {1, 0, 1, 0, 0, 0}}, {}});
  check(before.segment_starts == std::vector<int32_t>({0, 3, 4}) && before.segment_entries == std::vector<int32_t>({0, 0, 1}), "wholly before");
  check(before.segment_of == std::vector<int32_t>({0, 1}), "the base's segment is never void");
  slots.settle(before, true);
  StepInput after = slots.prepare({{{1, 0, 1, 0, 0, 0}, {0, 3, 2, 0, 0, 1}}, {}});
  check(after.segment_starts == std::vector<int32_t>({0, 3}) && after.segment_entries == std::vector<int32_t>({0, 1}), "from on, as any other");
  slots.settle(after, true);
  // Ranks tell segments apart as weights do.
  SlotInput some = whole;
  some.slot = 3;
  some.ranks = {4};
  slots.admit(some);
  StepInput ranks = slots.prepare({{{1, 0, 1, 0, 0, 0}, {3, 0, 1, 0, 0, 0}}, {{3, 0, 7}}});
  check(ranks.segment_starts == std::vector<int32_t>({0, 1, 2}) && ranks.entry_rank == std::vector<int32_t>({0, 4}), "another number of ranks");
  slots.settle(ranks, true);
  slots.release(3);
  some.ranks = {-1};
  check(refusal([&] { slots.admit(some); }).find("entryRank[] is -1") != std::string::npos, "no rank below 0");
  some.ranks = {1, 2};
  check(refusal([&] { slots.admit(some); }).find("entryRank.length is 2") != std::string::npos, "one for each adapter");
  SlotInput never = late;
  never.slot = 3;
  never.adapters_from = 5;
  check(refusal([&] { slots.admit(never); }).find("adaptersFrom is 5") != std::string::npos, "a position that is no token's");
  never.adapters_from = -1;
  check(refusal([&] { slots.admit(never); }).find("adaptersFrom is -1") != std::string::npos, "nor below 0");
}

KERNEL_TEST(hidden_states_are_summed_of_what_the_step_computes) {
  if (!once(kernels)) return;
  Slots slots = slots_of();
  slots.admit(input(0, {5, 6, 7}));
  slots.admit(input(1, {5, 6, 7, 8, 9}));
  StepInput in = slots.prepare({{{0, 0, 3, 0, 0, 1}, {1, 0, 5, 0, 0, 0, 2, 3}}, {{0, 0, 2}, {1, 0, 3}, {1, 1, 4}}});
  check(in.summed.size() == 1 && in.summed[0].first == 5 && in.summed[0].count == 3, "rows of the step");
  check(in.logits_indices == std::vector<int32_t>({2}), "they are no rows of logits");
  slots.settle(in, false);
  for (const auto& [from, count] : {std::pair{0, 1}, {4, 2}, {2, -1}, {5, 1}}) {
    const StepSequence wrong{1, 2, 3, 0, 0, 0, from, count};
    check(refusal([&] { slots.prepare({{wrong}, {}}); }).find("summed is") != std::string::npos, "positions that the step does not compute");
  }
}

KERNEL_TEST(a_decode_row_takes_its_token_from_the_step_before) {
  if (!once(kernels)) return;
  Slots slots = slots_of();
  slots.admit(input(0, {5, 6}));
  StepInput first = slots.prepare({{{0, 0, 2, 0, 0, 1}}, {{0, 0, 2}}});
  StepInput second = slots.prepare({{{0, 2, 1, 0, 0, 1}}, {}});  // queued before the first has sampled
  check(refusal([&] { slots.release(0); }).find("in flight") != std::string::npos, "a slot in flight stays");
  slots.fill_tokens(first);
  StepResult result;
  result.tokens = {42};
  result.row_status = {0};
  slots.sampled(first, result);
  check(refusal([&] { slots.prepare({{{0, 3, 1, 0, 0, 1}}, {{0, 0, 7}}}); }).find("a step in flight uses") != std::string::npos, "its blocks stay");
  slots.settle(first, false);
  slots.fill_tokens(second);
  check(second.input_ids == std::vector<int32_t>({42}), "the sampled token");
  // The second fails: its position is sampled anew.
  slots.settle(second, true);
  check(refusal([&] { slots.prepare({{{0, 3, 1, 0, 0, 1}}, {}}); }).find("past + count") != std::string::npos, "what failed was not sampled");
  run(slots, {{{0, 2, 1, 0, 0, 1}}, {}}, {43});
  slots.release(0);
  slots.admit(input(0, {1}));
}

KERNEL_TEST(what_a_step_may_not_name) {
  if (!once(kernels)) return;
  Slots slots = slots_of();
  slots.admit(input(0, {5, 6, 7}));
  slots.admit(input(1, {5}));
  const auto refused = [&](const StepBatch& batch, const char* what) {
    const std::string why = refusal([&] { slots.prepare(batch); });
    check(why.find(what) != std::string::npos, std::string("a step is refused for its ") + what + ": " + why);
  };
  refused({{}, {}}, "sequences is 0");
  refused({{{4, 0, 1, 0, 0, 0}}, {}}, "slot is 4");
  refused({{{-1, 0, 1, 0, 0, 0}}, {}}, "slot is -1");
  refused({{{2, 0, 1, 0, 0, 0}}, {}}, "no sequence is admitted");
  refused({{{0, 0, 1, 0, 0, 0}}, {}}, "blocks of 4");
  refused({{{0, 0, 1, 0, 0, 0}}, {{0, 1, 3}}}, "place is 1");
  refused({{{0, 0, 1, 0, 0, 0}}, {{0, 0, 16}}}, "block is 16");
  refused({{{0, 0, 1, 0, 0, 0}}, {{0, 0, -1}}}, "block is -1");
  refused({{{0, 0, 1, 0, 0, 0}}, {{0, 0, 1}, {1, 0, 2}, {0, 0, 3}}}, "must follow each other");
  const std::vector<StepBlock> blocks{{0, 0, 1}, {1, 0, 2}};
  refused({{{0, 0, 1, 0, 0, 0}, {0, 1, 1, 0, 0, 0}}, blocks}, "names it twice");
  refused({{{0, -1, 1, 0, 0, 0}}, blocks}, "past is -1");
  refused({{{0, 0, 0, 0, 0, 0}}, blocks}, "count is 0");
  refused({{{0, 0, 4, 0, 0, 0}}, blocks}, "past + count is 4");
  refused({{{0, 2147483647, 1, 0, 0, 0}}, blocks}, "past + count");
  refused({{{0, 0, 2, 0, 0, 1}}, blocks}, "samples is 1");
  refused({{{0, 0, 3, 0, 0, 2}}, blocks}, "samples is 2");
  refused({{{0, 0, 3, 0, 3, 1}}, blocks}, "scored is 3");
  refused({{{0, 1, 2, 0, 1, 1}}, blocks}, "scored is 1");
  refused({{{0, 0, 3, 0, -1, 1}}, blocks}, "scored is -1");
  refused({{{0, 0, 3, 0, 0, 1}, {1, 0, 1, 0, 0, 1}}, {{0, 0, 1}, {1, 0, 1}}}, "others use it");
  slots.admit(input(3, {5, 6, 7, 8, 9, 10, 11}));
  refused({{{3, 0, 7, 0, 6, 0}}, {{3, 0, 4}, {3, 1, 5}}}, "rows of logits is 6");
  // After all that, a right one is right.
  run(slots, {{{0, 0, 3, 0, 0, 1}, {1, 0, 1, 0, 0, 1}}, {{0, 0, 1}, {1, 0, 2}}}, {1, 2});
}

KERNEL_TEST(blocks_have_one_owner) {
  if (!once(kernels)) return;
  Slots slots = slots_of();
  slots.admit(input(0, {5, 6, 7, 8, 9}));
  const Held adapter{{3, 4}, {}};
  slots.hold(adapter);
  check(refusal([&] { slots.prepare({{{0, 0, 4, 0, 0, 0}}, {{0, 0, 3}}}); }).find("an adapter lies") != std::string::npos, "no KV into an adapter's block");
  check(refusal([&] { slots.hold({{3}, {}}); }).find("in use") != std::string::npos, "no adapter into an adapter's block");
  check(refusal([&] { slots.hold({{8, 8}, {}}); }).find("in use") != std::string::npos, "no block twice");
  slots.hold({{8}, {}});  // what was refused holds nothing
  run(slots, {{{0, 0, 5, 0, 0, 1}}, {{0, 0, 5}, {0, 1, 6}}}, {1});
  check(refusal([&] { slots.hold({{5}, {}}); }).find("in use") != std::string::npos, "no adapter into a sequence's block");
  // A full block may be read by others, which is how prefixes are shared.
  slots.admit(input(1, {5, 6, 7, 8, 1}));
  run(slots, {{{1, 4, 1, 0, 0, 1}}, {{1, 0, 5}, {1, 1, 7}}}, {1});
  slots.release(0);
  slots.release(1);
  slots.hold({{5}, {}});
  slots.let_go({{5}, {}});
  slots.let_go(adapter);
  slots.hold(adapter);
}

KERNEL_TEST(frames_have_one_owner) {
  if (!once(kernels)) return;
  SlotLimits limits = slots_of().limits();
  limits.frames_in_block = 4;
  Slots slots(limits);
  const auto refused = [&](const Held& held, const char* what, const char* why) { check(refusal([&] { slots.hold(held); }).find(why) != std::string::npos, what); };
  slots.admit(input(0, {5, 6, 7, 8, 9}));
  run(slots, {{{0, 0, 4, 0, 0, 0}}, {{0, 0, 1}}}, {});
  const Held first{{3}, {8, 9}}, second{{}, {10}};  // both in block 2
  slots.hold(first);
  slots.hold(second);
  refused({{}, {9}}, "no frame twice", "in use");
  refused({{}, {11, 11}}, "no frame twice by one", "in use");
  refused({{}, {12}}, "none of an adapter's whole block", "in use");
  refused({{}, {5}}, "none of a sequence's block", "in use");
  refused({{2}, {}}, "no block that frames are taken of", "in use");
  refused({{6}, {24}}, "no frame of a block that it takes itself", "in use");
  refused({{}, {-1}}, "no frame below the first", "it must be 0");
  refused({{}, {static_cast<int32_t>(4 * limits.block_count)}}, "no frame past the last", "it must be 0");
  slots.hold({{6}, {11}});  // what was refused holds nothing
  const auto no_kv = [&] { return refusal([&] { slots.prepare({{{0, 4, 1, 0, 0, 1}}, {{0, 1, 2}}}); }).find("an adapter lies") != std::string::npos; };
  check(no_kv(), "no KV where frames are taken");
  slots.let_go(first);
  slots.let_go({{6}, {11}});
  check(no_kv(), "no KV while one frame is taken");
  slots.let_go(second);
  run(slots, {{{0, 4, 1, 0, 0, 1}}, {{0, 1, 2}}}, {1});
}

KERNEL_TEST(what_admission_refuses) {
  if (!once(kernels)) return;
  Slots slots = slots_of();
  const auto refused = [&](const std::function<void(SlotInput&)>& change, const char* what) {
    SlotInput in = input(0, {5, 6});
    change(in);
    const std::string why = refusal([&] { slots.admit(in); });
    check(why.find(what) != std::string::npos, std::string("admission is refused for ") + what + ": " + why);
  };
  refused([](SlotInput& in) { in.slot = 4; }, "slot is 4");
  refused([](SlotInput& in) { in.tokens.clear(); }, "tokens.length is 0");
  refused([](SlotInput& in) { in.tokens.resize(65); }, "tokens.length is 65");
  refused([](SlotInput& in) { in.tokens[1] = 70; }, "tokens[] is 70");
  refused([](SlotInput& in) { in.prompt_length = 3; }, "promptLength is 3");
  refused([](SlotInput& in) { in.options.pop_back(); }, "options.length");
  for (const double odd : {-1.0, -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN(), 1e300})
    refused([&](SlotInput& in) { in.options[static_cast<size_t>(SamplingOption::top_p)] = odd; }, "options[1] is");
  refused([](SlotInput& in) { in.options[static_cast<size_t>(SamplingOption::min_tokens)] = 1e12; }, "options[7] is");
  refused([](SlotInput& in) { in.options[static_cast<size_t>(SamplingOption::repetition_penalty)] = 0; }, "options[6] is");
  refused([](SlotInput& in) { in.bias_tokens = {1}; }, "biasValues.length");
  refused([](SlotInput& in) { in.bias_tokens = {-1}, in.bias_values = {1}; }, "biasTokens[] is -1");
  refused([](SlotInput& in) { in.stop_tokens = {99}; }, "stopTokens[] is 99");
  refused([](SlotInput& in) { in.end_tokens = {99}; }, "endTokens[] is 99");
  refused([](SlotInput& in) { in.allowed = {1, 2}; }, "allowed.length is 2");
  refused([](SlotInput& in) { in.weights = {1}; }, "entryWeight.length is 1");
  slots.admit(input(0, {5, 6}));
  refused([](SlotInput&) {}, "taken");
}

KERNEL_TEST(sampling_reads_the_slot) {
  if (!once(kernels)) return;
  Slots slots = slots_of();
  SlotInput in = input(0, {5, 6, 5});
  in.options[static_cast<size_t>(SamplingOption::frequency_penalty)] = 0.5;
  in.options[static_cast<size_t>(SamplingOption::min_tokens)] = 2;
  in.stop_tokens = {9, 8};
  in.end_tokens = {2, 9};
  in.seed = 11;
  slots.admit(in);
  std::vector<uint8_t> stopped;
  StepInput step = slots.prepare({{{0, 0, 3, 0, 0, 1}}, {{0, 0, 2}}});
  std::vector<SamplingRow> rows = slots.sampling_rows(step);
  check(rows[0].position == 0 && rows[0].seed == 11 && rows[0].frequency == 0.5f, "its options");
  check(rows[0].banned_count == 3 && rows[0].banned[0] == 2 && rows[0].banned[2] == 9, "before min_tokens stop and end tokens are banned");
  check(rows[0].count_count == 2 && rows[0].counts[0].occurrences == 2 && rows[0].counts[0].output == 0, "the prompt is counted");
  slots.settle(step, true);
  run(slots, {{{0, 0, 3, 0, 0, 1}}, {}}, {9}, &stopped);
  check(stopped[0] == 0, "the first of two wanted tokens stops nothing");
  run(slots, {{{0, 3, 1, 0, 0, 1}}, {}}, {9}, &stopped);
  check(stopped[0] == 1, "the second does");
  // The same position again, after a failure: the counts are those of its own past.
  run(slots, {{{0, 4, 1, 0, 0, 1}}, {{0, 1, 3}}}, {7}, &stopped);
  step = slots.prepare({{{0, 5, 1, 0, 0, 1}}, {}});
  rows = slots.sampling_rows(step);
  check(rows[0].banned_count == 0, "after min_tokens nothing is banned");
  check(rows[0].count_count == 4 && rows[0].counts[2].token == 9 && rows[0].counts[2].output == 2, "output is counted as output");
  slots.settle(step, false);
}

KERNEL_TEST(counts_go_back_and_forth) {
  if (!once(kernels)) return;
  Random random(5);
  std::vector<int32_t> history;
  for (int i = 0; i < 3000; i++) history.push_back(random.below(900));
  TokenCounts counts;
  for (int round = 0; round < 40; round++) {
    const int32_t prompt = 700, length = random.below(3001);
    counts.count(history, prompt, length);
    std::vector<int> all(900), output(900);
    for (int32_t i = 0; i < length; i++) all[history[i]]++, output[history[i]] += i >= prompt;
    bool right = true;
    std::vector<bool> seen(900);
    for (const TokenCount& item : counts.items()) {
      right &= !seen[item.token] && item.occurrences == all[item.token] && item.output == output[item.token];
      seen[item.token] = true;
    }
    for (int token = 0; token < 900; token++) right &= seen[token] || all[token] == 0;
    check(right, "counts at " + std::to_string(length));
  }
}

}  // namespace
}  // namespace lorikeet::test
