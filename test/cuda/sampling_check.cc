// Sampling on the device against the CPU's: the same tokens, ranks and n largest, logprobs within rounding; a row's bits whatever else is sampled.
#include "sampling_check.h"
#include <limits>
#include <tuple>
#include "sampling_run.h"
#include "step/bad_words.h"

namespace lorikeet::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// float16 or float32 noise apart, the two logprobs are one number.
bool near(float got, float want) {
  return got == want || (std::isnan(got) && std::isnan(want)) || std::abs(got - want) <= 5e-6f * std::max(1.0f, std::abs(want));
}

void compare(const Logits& logits, const std::vector<Ask>& asks, const std::vector<Sampled>& got, const std::string& what) {
  for (size_t r = 0; r < asks.size(); r++) {
    const Sampled want = on_cpu(logits, static_cast<int32_t>(r), asks[r]);
    const std::string row = what + ", row " + std::to_string(r);
    check(got[r].result.token == want.result.token && got[r].result.status == want.result.status,
          row + ": token " + std::to_string(got[r].result.token) + ", the CPU's is " + std::to_string(want.result.token));
    check(got[r].result.rank == want.result.rank, row + ": rank " + std::to_string(got[r].result.rank) + ", not " + std::to_string(want.result.rank));
    check(near(got[r].result.logprob, want.result.logprob),
          row + ": logprob " + std::to_string(got[r].result.logprob) + ", not " + std::to_string(want.result.logprob));
    check(got[r].top == want.top, row + ": the n largest");
    check(got[r].top_logprobs.size() == want.top_logprobs.size() &&
              std::equal(want.top_logprobs.begin(), want.top_logprobs.end(), got[r].top_logprobs.begin(), near),
          row + ": their logprobs");
  }
}

// Against the CPU, and again in other company: alone, in groups of three, with padding, with kernels launched that nobody needs. `step`: of every how
// many rows one is sampled alone.
void check_rows(const Logits& logits, const std::vector<Ask>& asks, const std::string& what, size_t step) {
  Run twice;
  twice.times = 2;
  const auto got = on_device(logits, asks, twice, what);
  compare(logits, asks, got, what);
  Run padded;
  padded.padding = 2;
  padded.group = 3;
  padded.all_features = true;
  const auto again = on_device(logits, asks, padded, what + ", padded");
  bool same = true;
  for (size_t r = 0; r < asks.size(); r++) same &= same_bits(got[r], again[r]);
  check(same, what + ": the same bits with padding, in groups, with every kernel");
  for (size_t r = 0; r < asks.size(); r += step)
    check(same_bits(got[r], on_device(logits.only(static_cast<int32_t>(r)), {asks[r]}, {}, what + ", alone")[0]),
          what + ", row " + std::to_string(r) + ": the same bits alone");
}

enum class Kind { peaked, flat, ties, holes, equal };

std::vector<float> draw_logits(Random& random, int32_t vocab, Kind kind) {
  std::vector<float> x(vocab);
  for (float& v : x) {
    // The sum of uniforms is close enough to normal; logits of models have such a middle and a few that stand out.
    const float noise = random.uniform() + random.uniform() + random.uniform();
    if (kind == Kind::peaked) v = 2 * noise + (random.below(50) == 0 ? 4 * std::abs(random.uniform()) : 0) - 3;
    if (kind == Kind::flat) v = 0.05f * noise;
    if (kind == Kind::ties) v = std::round(2 * noise) / 2;
    if (kind == Kind::holes) v = random.below(3) == 0 ? -kInfinity : 30 * noise;
    if (kind == Kind::equal) v = -1.5f;
  }
  return x;
}

// Any combination of what a row may ask for. Half of the lists' tokens are among the first few, so that lists meet at the same tokens.
Ask draw_ask(Random& random, int32_t vocab) {
  const auto one_in = [&](int32_t n) { return random.below(n) == 0; };
  const auto token = [&] { return one_in(2) ? random.below(std::min(vocab, 12)) : random.below(vocab + 2) - 1; };  // now and then outside the vocabulary
  Ask ask;
  ask.seed = random.next();
  ask.position = random.below(1000);
  if (!one_in(6)) ask.temperature = 0.3f + 0.3f * static_cast<float>(random.below(5));
  if (one_in(2)) ask.top_p = static_cast<float>(random.below(20)) / 20;
  if (one_in(3)) ask.top_k = 1 + random.below(one_in(3) ? vocab : std::min(vocab, 40));
  if (one_in(4)) ask.min_p = one_in(4) ? 1 : 0.02f + 0.1f * static_cast<float>(random.below(4));
  if (one_in(3)) {
    const int32_t count = 1 + random.below(200);
    for (int32_t n = 0; n < count; n++) ask.history.push_back(token());
    ask.prompt = random.below(count + 1);
    if (one_in(2)) ask.presence = 0.7f;
    if (one_in(2)) ask.frequency = 0.31f;
    if (one_in(2)) ask.repetition = one_in(2) ? 1.3f : 0.8f;
  }
  if (one_in(3)) {
    const int32_t count = 1 + random.below(20);
    for (int32_t n = 0; n < count; n++) {
      ask.bias_tokens.push_back(token());
      ask.bias_values.push_back(one_in(4) ? -kInfinity : 5 * random.uniform());
    }
  }
  if (one_in(5)) {
    const int32_t count = random.below(one_in(2) ? 4 : 300);
    for (int32_t n = 0; n < count; n++) ask.allowed.push_back(token());
    ask.allowed.push_back(random.below(vocab));
  }
  if (one_in(4)) {
    const int32_t count = 1 + random.below(30);
    for (int32_t n = 0; n < count; n++) ask.banned.push_back(token());
  }
  if (one_in(4)) {
    // Some are the output's end and what follows: those forbid.
    std::vector<int32_t> records;
    const auto written = static_cast<int32_t>(ask.history.size()) - ask.prompt;
    for (int32_t n = random.below(40); n >= 0; n--) {
      const int32_t before = std::min(written, random.below(4));
      records.push_back(before + 1);
      records.insert(records.end(), ask.history.end() - before, ask.history.end());
      if (before && one_in(3)) records.back() = token();
      records.push_back(token());
    }
    for (int32_t& id : records) id = std::max(id, 0);
    ask.bad_words = bad_words_of(records, std::numeric_limits<int32_t>::max());
  }
  if (one_in(3)) ask.logprobs = random.below(20);
  if (one_in(12)) {
    ask.target = random.below(vocab);
    ask.logprobs = 2;
  }
  if (one_in(3)) {
    ask.vocab = 1 + random.below(vocab);
    if (ask.target >= 0) ask.target %= ask.vocab;
    if (!ask.allowed.empty()) ask.allowed.push_back(random.below(ask.vocab));
  }
  return ask;
}

void check_mixed(int32_t vocab, DType type, int32_t rows, uint64_t seed, const std::string& what, size_t step) {
  Random random(seed);
  std::vector<float> values;
  std::vector<Ask> asks;
  for (int32_t r = 0; r < rows; r++) {
    const auto row = draw_logits(random, vocab, static_cast<Kind>(r % 5));
    values.insert(values.end(), row.begin(), row.end());
    asks.push_back(draw_ask(random, vocab));
  }
  check_rows({vocab, type, std::move(values)}, asks, what, step);
}

// Many draws of one row under each kind of truncation, so that tokens of every weight come up.
void check_draws() {
  constexpr int32_t vocab = 700, draws = 40;
  Random random(92);
  Ask ask;
  ask.temperature = 1.6f;
  std::vector<Ask> asks;
  for (int kind = 0; kind < 6; kind++) {
    Ask now = ask;
    if (kind % 2) now.top_p = 0.97f;
    if (kind / 2 == 1) now.top_k = 600;
    if (kind / 2 == 2) now.min_p = 1e-4f;
    for (now.position = 0; now.position < draws; now.position++) asks.push_back(now);
  }
  const auto row = draw_logits(random, vocab, Kind::peaked);
  std::vector<float> values;
  for (size_t r = 0; r < asks.size(); r++) values.insert(values.end(), row.begin(), row.end());
  check_rows({vocab, DType::f32, std::move(values)}, asks, "draws", 50);
}

// Rows of which nothing may be sampled, or nearly.
void check_void_rows() {
  constexpr int32_t vocab = 2500;
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  Random random(91);
  std::vector<float> values;
  std::vector<Ask> asks;
  const auto add = [&](Ask ask, auto change) {
    auto row = draw_logits(random, vocab, Kind::peaked);
    change(row);
    values.insert(values.end(), row.begin(), row.end());
    ask.logprobs = static_cast<int32_t>(asks.size()) % 4 - 1;
    asks.push_back(ask);
  };
  const auto untouched = [](std::vector<float>&) {};
  Ask draw, truncated, banned, lifted, repeated, unknown, forbidden, worded, target;
  draw.temperature = truncated.temperature = 0.8f;
  truncated.top_p = 0.9f;
  banned.temperature = 1;
  banned.allowed = {3, 7};
  banned.bias_tokens = {7, 3};
  banned.bias_values = {-kInfinity, -kInfinity};
  lifted.bias_tokens = {11};
  lifted.bias_values = {kInfinity};
  repeated.bias_tokens = {11, 5, 11, 11};  // in this order 11 ends at 25 and wins; in others at 0, by rounding
  repeated.bias_values = {1e9f, 1, -1e9f, 25};
  unknown.allowed = {-5, vocab, vocab + 70000};
  forbidden.banned = {11, -4, vocab};  // not even a bias brings it back
  forbidden.bias_tokens = {11, 11};
  forbidden.bias_values = {kInfinity, 3};
  worded.history = {4, 9, 9};  // 11 is what follows 9, 9, and the only one that may
  worded.prompt = 1;
  worded.bad_words = bad_words_of({3, 9, 9, 11, 4, 4, 9, 9, 12}, vocab);
  worded.allowed = {11};
  target.target = 17;
  for (const Ask& ask : {Ask{}, draw, truncated}) {
    for (const int32_t at : {0, 2047, 2048, vocab - 1}) add(ask, [&](std::vector<float>& x) { x[at] = at % 2 ? nan : kInfinity; });
    add(ask, [&](std::vector<float>& x) { std::fill(x.begin(), x.end(), -kInfinity); });
    add(ask, [&](std::vector<float>& x) {
      std::fill(x.begin(), x.end(), -kInfinity);
      x[2300] = -40;
    });
  }
  for (const Ask& ask : {banned, lifted, repeated, unknown, forbidden, worded, target}) add(ask, untouched);
  for (int i = 0; i < 4; i++) add(target, [&](std::vector<float>& x) { i % 2 ? std::fill(x.begin(), x.end(), -kInfinity) : void(x[17] = -kInfinity); });
  check_rows({vocab, DType::f32, values}, asks, "rows of which little or nothing may be sampled", 3);
}

// As many of the largest as the vocabulary has, or more; the sort in scratch and in shared memory; ties everywhere.
void check_huge_tops() {
  using Case = std::tuple<int32_t, int32_t, Kind>;
  for (const auto& [vocab, wanted, kind] :
       {Case{3001, 3001, Kind::peaked}, Case{2100, 1500, Kind::ties}, Case{1000, 5000, Kind::holes}, Case{5000, 1, Kind::equal}}) {
    Random random(static_cast<uint64_t>(vocab));
    Ask ask;
    ask.logprobs = wanted;
    Ask few = ask;
    few.logprobs = 5;
    auto values = draw_logits(random, vocab, kind);
    const auto second = draw_logits(random, vocab, kind);
    values.insert(values.end(), second.begin(), second.end());
    check_rows({vocab, DType::f32, values}, {ask, few}, std::to_string(wanted) + " of the largest of " + std::to_string(vocab), 2);
  }
}

}  // namespace

void check_sampling(bool thorough) {
  check_void_rows();
  check_huge_tops();
  check_draws();
  check_mixed(1, DType::f32, 12, 1, "vocabulary of one", 5);
  check_mixed(32, DType::f16, 90, 2, "f16, vocabulary 32", 7);
  check_mixed(83, DType::bf16, 90, 3, "bf16, vocabulary 83", 7);
  check_mixed(1000, DType::f32, 180, 4, "f32, vocabulary 1000", 9);
  check_mixed(4099, DType::f16, 60, 5, "f16, vocabulary 4099", 9);
  check_mixed(6152, DType::bf16, 60, 6, "bf16, vocabulary 6152", 9);
  if (!thorough) {
    check_mixed(32000, DType::f32, 4, 7, "f32, vocabulary 32000", 3);
    return;
  }
  for (const auto& [vocab, type] : {std::pair{32000, DType::f32}, {128256, DType::f16}, {151936, DType::bf16}, {262145, DType::f32}})
    check_mixed(vocab, type, 140, 8,
                std::string(type == DType::f32 ? "f32" : type == DType::f16 ? "f16" : "bf16") + ", vocabulary " + std::to_string(vocab), 20);
}

}  // namespace lorikeet::test
