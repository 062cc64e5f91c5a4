// Words that must not be written: what crosses the border, what a history forbids (against a reading of vLLM's rule in other words), and what sampling makes of it.
#include "step/bad_words.h"
#include <limits>
#include <stdexcept>
#include "harness.h"
#include "kernels/bad_words.h"
#include "step/slots.h"

namespace lorikeet::test {
namespace {

using Words = std::vector<std::vector<int32_t>>;

bool once(const Kernels& kernels) {
  static const char* first = kernels.name;
  return kernels.name == first;
}

std::vector<int32_t> records_of(const Words& words) {
  std::vector<int32_t> records;
  for (const auto& word : words) {
    records.push_back(static_cast<int32_t>(word.size()));
    records.insert(records.end(), word.begin(), word.end());
  }
  return records;
}

// Every token that would complete a word: written out, and looked for at the end.
std::vector<bool> completing(const Words& words, const std::vector<int32_t>& output, int32_t vocab) {
  std::vector<bool> out(vocab, false);
  for (int32_t token = 0; token < vocab; token++) {
    std::vector<int32_t> then = output;
    then.push_back(token);
    for (const auto& word : words) out[token] = out[token] || (word.size() <= then.size() && std::equal(word.rbegin(), word.rend(), then.rbegin()));
  }
  return out;
}

KERNEL_TEST(bad_words_that_cross_are_checked) {
  if (!once(kernels)) return;
  const auto refused = [](const std::vector<int32_t>& records, const char* says) {
    try {
      bad_words_of(records, 50);
    } catch (const std::invalid_argument& e) {
      return check(std::string(e.what()).find(says) != std::string::npos, "what is refused is named");
    }
    check(false, "a wrong list of bad words is refused");
  };
  refused({0}, "a word's length is 0");
  refused({-1, 3}, "a word's length is -1");
  refused({2, 3}, "a word's length is 2; it must be 1 to 1");
  refused({1, 3, std::numeric_limits<int32_t>::max(), 4}, "it must be 1 to 1");
  refused({1, 50}, "a token is 50");
  refused({2, 4, -7}, "a token is -7");
  check(bad_words_of({}, 50).empty() && bad_word_count({}) == 0, "no words");
  check(bad_words_of({1, 9, 2, 8, 7}, 50) == std::vector<int32_t>({3, 4, 6, 9, 8, 7}), "two words: their places, then their tokens");
}

KERNEL_TEST(a_word_is_forbidden_where_it_would_be_complete) {
  if (!once(kernels)) return;
  constexpr int32_t vocab = 4;  // few, so that words come up
  Random random(71);
  int32_t hits = 0;
  for (int i = 0; i < 2000; i++) {
    Words words(1 + random.below(4));
    for (auto& word : words)
      for (int32_t n = 1 + random.below(4); n > 0; n--) word.push_back(random.below(vocab));
    std::vector<int32_t> output(random.below(8));
    for (int32_t& token : output) token = random.below(vocab);
    const std::vector<int32_t> list = bad_words_of(records_of(words), vocab);
    std::vector<bool> found(vocab, false);
    for (int32_t word = 0; word < bad_word_count(list); word++)
      if (const int32_t token = forbidden_by(list.data(), word, output.data(), static_cast<int32_t>(output.size())); token >= 0) found[token] = true;
    check(found == completing(words, output, vocab), "the tokens that would complete a word, and no others");
    for (const bool hit : found) hits += hit;
  }
  check(hits > 1000, "words came up");
}

KERNEL_TEST(a_row_of_a_slot_forbids_by_its_own_output) {
  Slots slots({.slots = 1, .block_size = 4, .max_batch_tokens = 32, .max_model_len = 64, .max_logits_rows = 5, .block_count = 16, .vocab_size = 8});
  SlotInput in;
  in.tokens = {1, 2, 5};  // the prompt: of no account
  in.prompt_length = 3;
  in.options.assign(static_cast<size_t>(SamplingOption::count), 0);
  in.options[static_cast<size_t>(SamplingOption::repetition_penalty)] = 1;
  in.bad_words = records_of({{5, 6}, {7}, {6, 5, 6}});
  slots.admit(in);
  const std::vector<float> logits = {0, 1, 2, 3, 4, 5, 6, 7};
  const auto token_of = [&](const StepBatch& batch, int32_t favourite = 7) {
    StepInput step = slots.prepare(batch);
    std::vector<SamplingRow> rows = slots.sampling_rows(step);
    const int32_t offset = 0;
    std::vector<float> values = logits;
    values[favourite] += 8;
    SamplingResult result;
    SampleArgs args;
    args.logits = values.data();
    args.vocab = 8;
    args.rows = rows.data();
    args.row_count = 1;
    args.results = &result;
    args.top_offset = &offset;
    kernels.sample(args, {});
    StepResult out;
    out.tokens = {result.token};
    out.row_status = {result.status};
    slots.sampled(step, out);
    slots.settle(step, false, out.row_status);
    return result.token;
  };
  check(token_of({{{0, 0, 3, 0, 0, 1}}, {{0, 0, 2}}}) == 6, "the prompt's tokens complete no word");
  check(token_of({{{0, 3, 1, 0, 0, 1}}, {}}) == 6, "a word of three tokens needs its first two");
  check(token_of({{{0, 4, 1, 0, 0, 1}}, {{0, 1, 3}}}, 5) == 5, "5, which ends the output");
  check(token_of({{{0, 5, 1, 0, 0, 1}}, {}}, 6) == 5, "so that 6 does not follow");
}

KERNEL_TEST(a_row_of_which_bad_words_leave_nothing_says_so) {
  const std::vector<int32_t> list = bad_words_of(records_of({{2}, {1, 3}}), 8);
  const std::vector<int32_t> output = {1};
  const uint32_t allowed = 1u << 2 | 1u << 3;
  std::vector<float> values = {0, 1, 2, 3, 4, 5, 6, 7};
  SamplingRow row;
  row.allowed = &allowed;
  row.bad_words = list.data();
  row.bad_word_count = bad_word_count(list);
  row.output = output.data();
  SamplingResult result;
  const int32_t offset = 0;
  SampleArgs args;
  args.logits = values.data();
  args.vocab = 8;
  args.rows = &row;
  args.row_count = 1;
  args.results = &result;
  args.top_offset = &offset;
  kernels.sample(args, {});
  check(result.status == 0 && result.token == 3, "before the word has begun its last token may come");
  row.position = 1;
  kernels.sample(args, {});
  check(result.status == kNothingAllowed, "nothing is left");
}

}  // namespace
}  // namespace lorikeet::test
