// Sampling: each effect against its definition, logprobs against float64, and the draw's distribution.
#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include "harness.h"

namespace {
using namespace lorikeet;
using namespace lorikeet::test;

struct Sampled {
  SamplingResult result;
  std::vector<int32_t> top;
  std::vector<float> top_logprobs;
};

// `added`: logits of tokens that an adapter adds.
Sampled sample(const Kernels& kernels, std::vector<float> logits, const SamplingRow& row, const std::vector<float>& added = {}) {
  const int32_t offset = 0;
  Sampled out;
  out.top.resize(std::max(0, row.logprobs));  // nowhere at all when none is wanted, as in a step
  out.top_logprobs.resize(out.top.size());
  SampleArgs args;
  args.logits = logits.data();
  args.vocab = static_cast<int64_t>(logits.size());
  args.added = added.data();
  args.added_vocab = static_cast<int64_t>(added.size());
  args.rows = &row;
  args.row_count = 1;
  args.results = &out.result;
  args.top_offset = &offset;
  args.top_tokens = out.top.data();
  args.top_logprobs = out.top_logprobs.data();
  kernels.sample(args, on_threads(1));
  return out;
}

double log_total(const std::vector<float>& x) {
  const double most = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (double v : x) sum += std::exp(v - most);
  return most + std::log(sum);
}

KERNEL_TEST(greedy_takes_the_largest_and_of_equals_the_first) {
  Random random(21);
  for (int vocab : {1, 7, 16, 100, 4097}) {
    auto x = random.floats(vocab);
    x[vocab / 2] = x[vocab - 1] = 3;
    check(sample(kernels, x, {}).result.token == vocab / 2, "greedy, vocabulary " + std::to_string(vocab));
  }
}

KERNEL_TEST(logprobs_rank_and_top_equal_float64) {
  Random random(22);
  auto x = random.floats(1000);
  for (float& v : x) v *= 10;
  SamplingRow row;
  row.logprobs = 5;
  row.target = 123;
  const auto got = sample(kernels, x, row);
  const double total = log_total(x);
  check(got.result.token == 123, "a target is not sampled");
  check_near(got.result.logprob, x[123] - total, 1e-5, "logprob of the target");
  check(got.result.rank == 1 + std::count_if(x.begin(), x.end(), [&](float v) { return v > x[123]; }), "rank");
  std::vector<int32_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int a, int b) { return x[a] > x[b]; });
  check(got.result.top_count == 5, "five top logprobs");
  for (int i = 0; i < 5; i++) {
    check(got.top[i] == order[i], "top token " + std::to_string(i));
    check_near(got.top_logprobs[i], x[order[i]] - total, 1e-5, "its logprob");
  }
}

bool same(const Sampled& a, const Sampled& b) {
  return a.result.token == b.result.token && a.result.rank == b.result.rank && a.result.status == b.result.status &&
         std::memcmp(&a.result.logprob, &b.result.logprob, sizeof(float)) == 0 && a.result.top_count == b.result.top_count &&
         std::equal(a.top.begin(), a.top.begin() + a.result.top_count, b.top.begin()) &&
         std::equal(a.top_logprobs.begin(), a.top_logprobs.begin() + a.result.top_count, b.top_logprobs.begin());
}

// The first so many tokens exist for the row: a part of the base's, or those of an adapter too, whose logits are a matrix of their own. Bit for bit what a
// vocabulary of that size gives.
KERNEL_TEST(a_row_has_its_own_vocabulary) {
  Random random(29);
  constexpr int32_t kBase = 1003, kAdded = 70;
  for (int round = 0; round < 200; round++) {
    auto x = random.floats(kBase + kAdded);
    for (float& v : x) v *= 4;
    SamplingRow row;
    row.temperature = round % 3 ? 0.5f + random.below(3) : 0;
    row.seed = static_cast<uint64_t>(round);
    if (round % 4 == 1) row.top_p = 0.9f;
    if (round % 5 == 1) row.top_k = 1 + random.below(1000);
    if (round % 7 == 1) row.min_p = 0.01f;
    row.logprobs = round % 2 ? 6 : -1;
    const int32_t bias_tokens[] = {2, kBase - 1, kBase, kBase + 5, kBase + kAdded - 1};
    const float bias_values[] = {1, 2, 3, 2, 1};
    row.bias_tokens = bias_tokens;
    row.bias_values = bias_values;
    row.bias_count = round % 2 ? 5 : 0;
    const TokenCount counts[] = {{kBase + 1, 2, 1}, {3, 1, 1}};
    row.counts = counts;
    row.count_count = 2;
    row.frequency = round % 6 == 1 ? 0.5f : 0;
    for (const int32_t vocab : {1, 517, kBase, kBase + 1, kBase + 33, kBase + kAdded}) {
      row.target = round % 9 == 4 ? random.below(vocab) : -1;
      row.vocab = 0;
      const auto want = sample(kernels, {x.begin(), x.begin() + vocab}, row);
      row.vocab = vocab;
      const auto got = sample(kernels, {x.begin(), x.begin() + kBase}, row, {x.begin() + kBase, x.end()});
      check(same(got, want) && got.result.token < vocab, "vocabulary " + std::to_string(vocab) + ", round " + std::to_string(round));
    }
  }
  SamplingRow beyond;
  beyond.vocab = 10;
  beyond.target = 10;
  check(sample(kernels, random.floats(20), beyond).result.status == 1, "a target that does not exist for the row");
}

KERNEL_TEST(the_chosen_tokens_logprob_alone) {
  std::vector<float> x{1, 2, 3};
  SamplingRow row;
  row.logprobs = 0;
  const auto got = sample(kernels, x, row);
  check(got.result.token == 2 && got.result.rank == 1 && got.result.top_count == 0, "no others");
  check_near(got.result.logprob, 3 - log_total(x), 1e-5, "its logprob");
}

KERNEL_TEST(logprobs_are_of_the_untouched_logits) {
  std::vector<float> x{1, 2, 3};
  const int32_t token = 2;
  const float ban = -std::numeric_limits<float>::infinity();
  SamplingRow row;
  row.bias_tokens = &token;
  row.bias_values = &ban;
  row.bias_count = 1;
  row.logprobs = 1;
  const auto got = sample(kernels, x, row);
  check(got.result.token == 1, "the banned token is not taken");
  check_near(got.result.logprob, 2 - log_total(x), 1e-6, "its raw logprob");
  check(got.result.rank == 2 && got.top[0] == 2, "rank and top are raw");
}

KERNEL_TEST(penalties_follow_their_definitions) {
  // prompt: 0 1; output: 1 2 2
  const std::vector<TokenCount> counts{{0, 1, 0}, {1, 2, 1}, {2, 2, 2}, {3, 0, 0}};
  SamplingRow row;
  row.counts = counts.data();
  row.count_count = 4;
  const auto wins = [&](std::vector<float> x, int32_t token) { return sample(kernels, x, row).result.token == token; };
  row.presence = 1;  // once for 1 and 2, nothing for 0
  check(wins({1.5f, 2.4f, 2.4f, 1.45f}, 0) && wins({1.3f, 2.4f, 2.4f, 1.45f}, 3), "presence counts output tokens once");
  row.presence = 0;
  row.frequency = 1;  // 1: once; 2: twice
  check(wins({0, 2.1f, 3, 0}, 1) && wins({0, 1.9f, 3, 0}, 2), "frequency counts each");
  row.frequency = 0;
  row.repetition = 2;  // prompt and output; positive halves, negative doubles
  check(wins({3, 3, 3, 1.6f}, 3) && wins({-1, -1, -1, -1.9f}, 3) && wins({4, 3, 3, 1.6f}, 0), "repetition divides or multiplies");
}

KERNEL_TEST(allowed_tokens_are_the_only_ones) {
  std::vector<float> x{9, 1, 2, 8};
  const uint32_t allowed = 0b0110;
  SamplingRow row;
  row.allowed = &allowed;
  check(sample(kernels, x, row).result.token == 2, "the best allowed");
}

KERNEL_TEST(what_is_not_finite_is_reported) {
  std::vector<float> x(40, 1.0f);
  x[33] = std::numeric_limits<float>::quiet_NaN();
  check(sample(kernels, x, {}).result.status == 1, "NaN");
  x[33] = std::numeric_limits<float>::infinity();
  check(sample(kernels, x, {}).result.status == 1, "infinity");
  check(sample(kernels, std::vector<float>(40, -std::numeric_limits<float>::infinity()), {}).result.status == 1, "everything banned");
}

// Frequencies of many draws at positions 0, 1, 2, …
std::vector<double> draws(const Kernels& kernels, const std::vector<float>& x, SamplingRow row, int n) {
  std::vector<double> share(x.size(), 0.0);
  for (int i = 0; i < n; i++) {
    row.position = i;
    share[sample(kernels, x, row).result.token] += 1.0 / n;
  }
  return share;
}

KERNEL_TEST(draws_follow_the_distribution) {
  const std::vector<float> x{0, 1, 2, -1, 1.5f};
  SamplingRow row;
  row.seed = 7;
  row.temperature = 0.8f;
  const auto expect = [&](const std::vector<bool>& kept, const char* what) {
    double total = 0;
    for (size_t i = 0; i < x.size(); i++) total += kept[i] ? std::exp(x[i] / 0.8) : 0;
    const auto share = draws(kernels, x, row, 20000);
    for (size_t i = 0; i < x.size(); i++) check_near(share[i], kept[i] ? std::exp(x[i] / 0.8) / total : 0, 0.015, what);
  };
  expect({true, true, true, true, true}, "temperature");
  row.top_k = 2;
  expect({false, false, true, false, true}, "top-k");
  row.top_k = 0;
  row.top_p = 0.8f;  // 2: 0.49, 1.5: 0.26, 1: 0.14
  expect({false, true, true, false, true}, "top-p");
  row.top_p = 1;
  row.min_p = 0.25f;  // relative to the largest: 1.5: 0.54, 1: 0.29, 0: 0.08
  expect({false, true, true, false, true}, "min-p");
}

KERNEL_TEST(draws_depend_on_seed_and_position_alone) {
  Random random(23);
  const auto x = random.floats(500);
  SamplingRow row;
  row.temperature = 1;
  row.seed = 42;
  row.position = 3;
  const int32_t first = sample(kernels, x, row).result.token;
  row.logprobs = 3;
  check(sample(kernels, x, row).result.token == first, "the same again");
  int other = 0;
  for (int i = 0; i < 50; i++) {
    row.seed = 100 + i;
    other += sample(kernels, x, row).result.token != first;
  }
  check(other > 45, "other seeds, other tokens");
}

KERNEL_TEST(truncation_keeps_exactly_the_defined_tokens) {
  Random random(24);
  const int vocab = 1500;
  auto x = random.floats(vocab);
  std::vector<int32_t> order(vocab);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int a, int b) { return x[a] > x[b]; });
  std::vector<int32_t> place(vocab);
  for (int i = 0; i < vocab; i++) place[order[i]] = i;
  double total = 0;
  for (float v : x) total += std::exp(double(v));
  SamplingRow row;
  row.temperature = 1;
  row.seed = 9;
  // The largest place ever drawn is within the kept set and reaches most of it.
  const auto deepest = [&](const char* what, int kept) {
    int most = 0;
    for (int i = 0; i < 600; i++) {
      row.position = i;
      most = std::max(most, place[sample(kernels, x, row).result.token]);
    }
    check(most < kept && most >= kept * 9 / 10 - 1, std::string(what) + ": deepest " + std::to_string(most) + " of " + std::to_string(kept));
  };
  for (int k : {1, 7, 512, 513, 1200}) {
    row.top_k = k;
    deepest("top-k", k);
  }
  row.top_k = 0;
  for (float top_p : {0.0f, 0.001f, 0.3f, 0.9f}) {
    row.top_p = top_p;
    double sum = 0;
    int kept = 0;
    while (kept == 0 || sum < top_p * total) sum += std::exp(double(x[order[kept++]]));
    deepest("top-p of a flat distribution", kept);
  }
  row.top_p = 1;
  row.min_p = 0.5f;
  deepest("min-p", static_cast<int>(std::count_if(x.begin(), x.end(), [&](float v) { return v >= x[order[0]] + std::log(0.5); })));
}

KERNEL_TEST(equal_logits_share_the_mass) {
  std::vector<float> x(300, 2.5f);
  SamplingRow row;
  row.temperature = 1;
  for (float top_p : {1.0f, 0.5f, 0.0f}) {
    row.top_p = top_p;
    const auto share = draws(kernels, x, row, 500);
    const auto kept = std::max(1, static_cast<int>(top_p * 300));
    check(std::all_of(share.begin() + kept, share.end(), [](double s) { return s == 0; }), "lowest ids first, top-p " + std::to_string(top_p));
    check(std::count_if(share.begin(), share.end(), [](double s) { return s > 0; }) > kept / 2, "all of them, top-p " + std::to_string(top_p));
  }
}

KERNEL_TEST(a_temperature_next_to_nothing_is_greedy) {
  std::vector<float> x{1, 3, 2.9f};
  SamplingRow row;
  for (float t : {1e-40f, 1e-30f, 1e-6f}) {
    row.temperature = t;
    for (row.position = 0; row.position < 20; row.position++) check(sample(kernels, x, row).result.token == 1, "temperature " + std::to_string(t));
  }
  row.temperature = 1e-5f;  // the least that divides
  check(sample(kernels, x, row).result.token == 1, "temperature 1e-5");
}

KERNEL_TEST(banned_tokens_are_never_drawn) {
  std::vector<float> x(9000, -std::numeric_limits<float>::infinity());
  x[4500] = 1;
  x[8999] = 1;
  SamplingRow row;
  row.temperature = 2;
  for (float top_p : {1.0f, 0.99f}) {
    row.top_p = top_p;
    const auto share = draws(kernels, x, row, 400);
    check_near(share[4500] + share[8999], 1, 1e-9, "only the two");
    check(share[4500] > 0.3 && share[8999] > 0.3, "both");
  }
}

KERNEL_TEST(what_is_not_finite_is_found_everywhere) {
  for (int at : {0, 15, 16, 4095, 4096, 8190, 8191, 8192}) {
    std::vector<float> x(8193, 0.0f);
    x[at] = std::numeric_limits<float>::quiet_NaN();
    check(sample(kernels, x, {}).result.status == 1, "NaN at " + std::to_string(at));
    x[at] = 1;
    const auto got = sample(kernels, x, {}).result;
    check(got.status == 0 && got.token == at, "the largest at " + std::to_string(at));
  }
}

}  // namespace
