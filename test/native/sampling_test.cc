// Sampling: each effect against its definition, logprobs against float64, and the draw's distribution.
#include <algorithm>
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

Sampled sample(const Kernels& kernels, std::vector<float> logits, const SamplingRow& row) {
  const int32_t offset = 0;
  Sampled out;
  out.top.resize(std::max(0, row.logprobs));  // nowhere at all when none is wanted, as in a step
  out.top_logprobs.resize(out.top.size());
  SampleArgs args;
  args.logits = logits.data();
  args.vocab = static_cast<int64_t>(logits.size());
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
  const std::vector<int32_t> history{0, 1, 1, 2, 2};
  SamplingRow row;
  row.history = history.data();
  row.history_count = 5;
  row.history_prompt = 2;
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
  const std::vector<int32_t> allowed{1, 2};
  SamplingRow row;
  row.allowed = allowed.data();
  row.allowed_count = 2;
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

}  // namespace
