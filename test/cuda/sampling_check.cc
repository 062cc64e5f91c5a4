// Sampling on the device against the CPU's: the same tokens, ranks and n largest, logprobs within rounding; and a row's bits whatever else is sampled.
#include "sampling_check.h"
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include "../native/harness.h"
#include "kernels/cuda/sampling.h"
#include "memory.h"
#include "sampling_reference.h"
#include "world.h"

namespace lorikeet::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What one row asks for.
struct Ask {
  float temperature = 0, top_p = 1, min_p = 0;
  int32_t top_k = 0;
  uint64_t seed = 1;
  int32_t position = 0;
  float presence = 0, frequency = 0, repetition = 1;
  std::vector<int32_t> history;
  int32_t prompt = 0;
  std::vector<int32_t> bias_tokens;
  std::vector<float> bias_values;
  std::vector<int32_t> allowed;
  int32_t logprobs = -1, target = -1;
};

// The asks as a step's plain arrays.
class Asks {
 public:
  explicit Asks(const std::vector<Ask>& asks) : rows_(static_cast<int32_t>(asks.size())) {
    for (const Ask& ask : asks) {
      for (const float v : {ask.temperature, ask.top_p, ask.min_p, ask.presence, ask.frequency, ask.repetition}) floats_[floats_at_++ % 6].push_back(v);
      for (const int32_t v : {ask.top_k, ask.position, ask.prompt, ask.logprobs, ask.target}) integers_[integers_at_++ % 5].push_back(v);
      seed_.push_back(ask.seed);
      history_.insert(history_.end(), ask.history.begin(), ask.history.end());
      history_starts_.push_back(static_cast<int32_t>(history_.size()));
      bias_tokens_.insert(bias_tokens_.end(), ask.bias_tokens.begin(), ask.bias_tokens.end());
      bias_values_.insert(bias_values_.end(), ask.bias_values.begin(), ask.bias_values.end());
      bias_starts_.push_back(static_cast<int32_t>(bias_tokens_.size()));
      allowed_.insert(allowed_.end(), ask.allowed.begin(), ask.allowed.end());
      allowed_starts_.push_back(static_cast<int32_t>(allowed_.size()));
    }
  }
  cuda::SamplingView view() const {
    cuda::SamplingView view;
    view.rows = rows_;
    view.temperature = floats_[0].data();
    view.top_p = floats_[1].data();
    view.min_p = floats_[2].data();
    view.presence = floats_[3].data();
    view.frequency = floats_[4].data();
    view.repetition = floats_[5].data();
    view.top_k = integers_[0].data();
    view.position = integers_[1].data();
    view.history_prompt = integers_[2].data();
    view.logprobs = integers_[3].data();
    view.target = integers_[4].data();
    view.seed = seed_.data();
    view.history_starts = history_starts_.data();
    view.history = history_.data();
    view.bias_starts = bias_starts_.data();
    view.bias_tokens = bias_tokens_.data();
    view.bias_values = bias_values_.data();
    view.allowed_starts = allowed_starts_.data();
    view.allowed_tokens = allowed_.data();
    return view;
  }

 private:
  int32_t rows_;
  size_t floats_at_ = 0, integers_at_ = 0;
  std::vector<float> floats_[6], bias_values_;
  std::vector<int32_t> integers_[5], history_starts_{0}, history_, bias_starts_{0}, bias_tokens_, allowed_starts_{0}, allowed_;
  std::vector<uint64_t> seed_;
};

struct Sampled {
  SamplingResult result;
  std::vector<int32_t> top;
  std::vector<float> top_logprobs;
};

bool same_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }
bool same_bits(const Sampled& a, const Sampled& b) {
  return a.result.token == b.result.token && a.result.rank == b.result.rank && a.result.status == b.result.status && a.top == b.top &&
         same_bits(a.result.logprob, b.result.logprob) && a.top_logprobs.size() == b.top_logprobs.size() &&
         std::equal(a.top_logprobs.begin(), a.top_logprobs.end(), b.top_logprobs.begin(), [](float x, float y) { return same_bits(x, y); });
}

// float16 or float32 noise apart, the two logprobs are one number.
bool near(float got, float want) {
  return got == want || (std::isnan(got) && std::isnan(want)) || std::abs(got - want) <= 5e-6f * std::max(1.0f, std::abs(want));
}

// Rows of logits as one type stores them.
struct Logits {
  int32_t vocab;
  DType type;
  std::vector<float> values;  // [rows, vocab], as restored from the type

  Logits(int32_t vocab, DType type, std::vector<float> from) : vocab(vocab), type(type), values(std::move(from)) {
    if (type == DType::f32) return;
    for (float& v : values) v = std::isfinite(v) ? static_cast<float>(restored(stored_bits(v, type), type)) : v;
  }
  int32_t rows() const { return static_cast<int32_t>(values.size()) / vocab; }
  Logits only(int32_t row) const { return {vocab, type, {values.begin() + int64_t(row) * vocab, values.begin() + int64_t(row + 1) * vocab}}; }
  std::vector<uint8_t> bytes() const {
    std::vector<uint8_t> out(values.size() * element_size(type));
    for (size_t i = 0; i < values.size(); i++) {
      uint32_t bits;
      std::memcpy(&bits, &values[i], sizeof bits);
      if (type == DType::f16) bits = std::isfinite(values[i]) ? stored_bits(values[i], type) : std::isnan(values[i]) ? 0x7e00 : 0x7c00 | (bits >> 16 & 0x8000);
      if (type == DType::bf16) bits >>= 16;  // restored values have no more
      std::memcpy(&out[i * element_size(type)], &bits, element_size(type));
    }
    return out;
  }
};

Sampled on_cpu(const Logits& logits, int32_t r, const Ask& ask) {
  SamplingRow row;
  row.temperature = ask.temperature;
  row.top_p = ask.top_p;
  row.min_p = ask.min_p;
  row.top_k = ask.top_k;
  row.seed = ask.seed;
  row.position = ask.position;
  row.presence = ask.presence;
  row.frequency = ask.frequency;
  row.repetition = ask.repetition;
  row.history = ask.history.data();
  row.history_count = static_cast<int32_t>(ask.history.size());
  row.history_prompt = ask.prompt;
  row.bias_tokens = ask.bias_tokens.data();
  row.bias_values = ask.bias_values.data();
  row.bias_count = static_cast<int32_t>(ask.bias_tokens.size());
  row.allowed = ask.allowed.data();
  row.allowed_count = static_cast<int32_t>(ask.allowed.size());
  row.logprobs = std::min(ask.logprobs, logits.vocab);
  row.target = ask.target;
  std::vector<float> x(logits.values.begin() + int64_t(r) * logits.vocab, logits.values.begin() + int64_t(r + 1) * logits.vocab);
  Sampled out;
  out.top.resize(std::max(0, row.logprobs));
  out.top_logprobs.resize(out.top.size());
  const int32_t offset = 0;
  SampleArgs args;
  args.logits = x.data();
  args.vocab = logits.vocab;
  args.rows = &row;
  args.row_count = 1;
  args.results = &out.result;
  args.top_offset = &offset;
  args.top_tokens = out.top.data();
  args.top_logprobs = out.top_logprobs.data();
  sample_on_cpu(args);
  out.top.resize(out.result.top_count);
  out.top_logprobs.resize(out.result.top_count);
  return out;
}

struct Run {
  int32_t padding = 0, group = 64, times = 1;
  bool all_features = false;  // launch what no row needs, too
};

// The rows on the device. What is outside the results, and the second of the two runs, are checked here.
std::vector<Sampled> on_device(const Logits& logits, const std::vector<Ask>& asks, const Run& run, const std::string& what) {
  const Asks arrays(asks);
  const cuda::SamplingView view = arrays.view();
  cuda::SampleShape shape;
  shape.rows = view.rows + run.padding;
  shape.vocab = logits.vocab;
  shape.dtype = logits.type;
  shape.group = run.group;
  shape.features = cuda::sample_features(view, logits.vocab);
  if (run.all_features) shape.features = {true, true, true, true, std::max(3, shape.features.top)};

  const size_t rows_at = 48, lists_at = rows_at + sizeof(cuda::SampleRow) * shape.rows + 16;
  // One word of the lists' more, so that the places of empty ones are inside.
  const size_t upload_bytes = lists_at + cuda::sample_list_bytes(view) + 4;
  const std::unique_ptr<void, decltype(&std::free)> image(std::aligned_alloc(16, (upload_bytes + 15) / 16 * 16), &std::free);
  auto* const host = static_cast<uint8_t*>(image.get());
  std::memset(host, 0xff, upload_bytes);
  cuda::pack_sample_rows(view, logits.vocab, shape.rows, host, rows_at, lists_at);

  std::vector<uint8_t> bytes = logits.bytes();
  bytes.resize(bytes.size() + size_t(run.padding) * logits.vocab * element_size(logits.type), 0xff);
  const OnDevice<uint8_t> in(bytes), upload(std::vector<uint8_t>(host, host + upload_bytes)), scratch(cuda::sample_scratch_bytes(shape));
  const cuda::SampleResults at = cuda::sample_results(shape);
  const OnDevice<uint8_t> results(at.bytes);
  const OnDevice<int32_t> tokens(shape.rows);
  const OnDevice<float> raw(size_t(shape.rows) * logits.vocab);
  cuda::SampleOp op;
  op.logits = in.data();
  op.upload = upload.data();
  op.rows = reinterpret_cast<const cuda::SampleRow*>(upload.data() + rows_at);
  op.scratch = scratch.data();
  op.results = results.data();
  op.tokens = tokens.data();
  op.logits_out = raw.data();

  std::vector<Sampled> out;
  for (int time = 0; time < run.times; time++) {
    must(cuda::sample(op, shape, nullptr), "sample");
    const auto got = results.get();
    const auto integer = [&](size_t offset, size_t i) {
      int32_t v;
      std::memcpy(&v, got.data() + offset + sizeof v * i, sizeof v);
      return v;
    };
    const auto real = [&](size_t offset, size_t i) {
      float v;
      std::memcpy(&v, got.data() + offset + sizeof v * i, sizeof v);
      return v;
    };
    std::vector<Sampled> now(shape.rows);
    for (size_t r = 0; r < now.size(); r++) {
      Sampled& row = now[r];
      row.result.token = integer(at.tokens, r);
      row.result.rank = integer(at.ranks, r);
      row.result.status = static_cast<uint8_t>(integer(at.statuses, r));
      row.result.logprob = real(at.logprobs, r);
      row.result.top_count = integer(at.top_counts, r);
      for (int32_t i = 0; i < row.result.top_count && i < shape.features.top; i++) {
        row.top.push_back(integer(at.top_tokens, r * shape.features.top + i));
        row.top_logprobs.push_back(real(at.top_logprobs, r * shape.features.top + i));
      }
    }
    const auto also = tokens.get();
    const auto copied = raw.get();
    bool fine = true;
    for (size_t r = 0; r < now.size(); r++) fine &= also[r] == now[r].result.token;
    for (size_t i = 0; i < logits.values.size(); i++)
      fine &= std::isnan(logits.values[i]) ? std::isnan(copied[i]) : same_bits(copied[i], logits.values[i]);
    check(fine, what + ": the tokens' second copy and the float32 logits");
    bool harmless = true;
    for (size_t r = asks.size(); r < now.size(); r++) harmless &= now[r].result.token == 0 && now[r].result.status == 0 && now[r].result.top_count == 0;
    for (size_t i = logits.values.size(); i < copied.size(); i++) harmless &= std::isnan(copied[i]);
    check(harmless, what + ": padded rows take token 0 and write no logits");
    if (time > 0) {
      bool same = true;
      for (size_t r = 0; r < now.size(); r++) same &= same_bits(now[r], out[r]);
      check(same, what + ": the same again with used scratch");
    }
    out = std::move(now);
  }
  out.resize(asks.size());
  return out;
}

void compare(const Logits& logits, const std::vector<Ask>& asks, const std::vector<Sampled>& got, const std::string& what) {
  for (size_t r = 0; r < asks.size(); r++) {
    const Sampled want = on_cpu(logits, static_cast<int32_t>(r), asks[r]);
    const std::string row = what + ", row " + std::to_string(r);
    check(got[r].result.token == want.result.token && got[r].result.status == want.result.status,
          row + ": token " + std::to_string(got[r].result.token) + ", the CPU's is " + std::to_string(want.result.token));
    check(got[r].result.rank == want.result.rank, row + ": rank " + std::to_string(got[r].result.rank) + ", not " + std::to_string(want.result.rank));
    check(near(got[r].result.logprob, want.result.logprob), row + ": logprob " + std::to_string(got[r].result.logprob) + ", not " + std::to_string(want.result.logprob));
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
    check(same_bits(got[r], on_device(logits.only(static_cast<int32_t>(r)), {asks[r]}, {}, what + ", alone")[0]), what + ", row " + std::to_string(r) + ": the same bits alone");
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
  if (one_in(3)) ask.logprobs = random.below(20);
  if (one_in(12)) {
    ask.target = random.below(vocab);
    ask.logprobs = 2;
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
  Ask draw, truncated, banned, lifted, repeated, unknown, target;
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
  target.target = 17;
  for (const Ask& ask : {Ask{}, draw, truncated}) {
    for (const int32_t at : {0, 2047, 2048, vocab - 1}) add(ask, [&](std::vector<float>& x) { x[at] = at % 2 ? nan : kInfinity; });
    add(ask, [&](std::vector<float>& x) { std::fill(x.begin(), x.end(), -kInfinity); });
    add(ask, [&](std::vector<float>& x) {
      std::fill(x.begin(), x.end(), -kInfinity);
      x[2300] = -40;
    });
  }
  for (const Ask& ask : {banned, lifted, repeated, unknown, target}) add(ask, untouched);
  for (int i = 0; i < 4; i++) add(target, [&](std::vector<float>& x) { i % 2 ? std::fill(x.begin(), x.end(), -kInfinity) : void(x[17] = -kInfinity); });
  check_rows({vocab, DType::f32, values}, asks, "rows of which little or nothing may be sampled", 3);
}

// As many of the largest as the vocabulary has, or more; the sort in scratch and in shared memory; ties everywhere.
void check_huge_tops() {
  for (const auto& [vocab, wanted, kind] : {std::tuple{3001, 3001, Kind::peaked}, {2100, 1500, Kind::ties}, {1000, 5000, Kind::holes}, {5000, 1, Kind::equal}}) {
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
    check_mixed(vocab, type, 140, 8, std::string(type == DType::f32 ? "f32" : type == DType::f16 ? "f16" : "bf16") + ", vocabulary " + std::to_string(vocab), 20);
}

}  // namespace lorikeet::test
