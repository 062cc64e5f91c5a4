#include "sampling_run.h"
#include <list>
#include <map>
#include <utility>
#include "kernels/cuda/sampling.h"
#include "step/bad_words.h"
#include "memory.h"
#include "sampling_reference.h"
#include "world.h"

namespace lorikeet::test {
namespace {

// Everything of an ask but where its lists are.
SamplingRow scalars_of(const Ask& ask) {
  SamplingRow row;
  row.temperature = ask.temperature;
  row.top_p = ask.top_p;
  row.min_p = ask.min_p;
  row.top_k = ask.top_k;
  row.seed = ask.seed;
  row.position = ask.bad_words.empty() ? ask.position : static_cast<int32_t>(ask.history.size()) - ask.prompt;
  row.presence = ask.presence;
  row.frequency = ask.frequency;
  row.repetition = ask.repetition;
  row.bias_count = static_cast<int32_t>(ask.bias_tokens.size());
  row.banned_count = static_cast<int32_t>(ask.banned.size());
  row.bad_word_count = bad_word_count(ask.bad_words);
  row.logprobs = ask.logprobs;
  row.vocab = ask.vocab;
  return row;
}

// The CPU counts what the device looks up in the history.
std::vector<TokenCount> counts_of(const Ask& ask) {
  std::map<int32_t, TokenCount> counts;
  for (size_t i = 0; i < ask.history.size(); i++) {
    TokenCount& count = counts[ask.history[i]];
    count.token = ask.history[i];
    count.occurrences++;
    count.output += i >= static_cast<size_t>(ask.prompt);
  }
  std::vector<TokenCount> all;
  for (const auto& [token, count] : counts) all.push_back(count);
  return all;
}

// What one row's sequence keeps on the device: its tokens with room for the next one, and its lists.
struct Resident {
  OnDevice<int32_t> history, bias_tokens, banned, bad_words;
  OnDevice<float> bias_values;
  OnDevice<uint32_t> allowed;

  Resident(const Ask& ask, int32_t vocab)
      : history(with_next(ask)), bias_tokens(sorted(ask).first), banned(ask.banned), bad_words(ask.bad_words), bias_values(sorted(ask).second), allowed(mask_of(ask, vocab)) {}
  cuda::SampleRow row(const Ask& ask, int32_t vocab) const {
    SamplingRow asked = scalars_of(ask);
    asked.bias_tokens = bias_tokens.data();
    asked.bias_values = bias_values.data();
    asked.banned = banned.data();
    asked.bad_words = bad_words.data();
    if (!ask.allowed.empty()) asked.allowed = allowed.data();
    return cuda::sample_row(asked, {history.data(), static_cast<int32_t>(ask.history.size()), ask.prompt, ask.target >= 0}, vocab);
  }

 private:
  static std::vector<int32_t> with_next(const Ask& ask) {
    std::vector<int32_t> tokens = ask.history;
    tokens.push_back(ask.target);
    return tokens;
  }
  static std::pair<std::vector<int32_t>, std::vector<float>> sorted(const Ask& ask) {
    auto bias = std::pair(ask.bias_tokens, ask.bias_values);
    cuda::sort_bias(bias.first.data(), bias.second.data(), bias.first.size());
    return bias;
  }
};

}  // namespace

bool same_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }
bool same_bits(const Sampled& a, const Sampled& b) {
  return a.result.token == b.result.token && a.result.rank == b.result.rank && a.result.status == b.result.status && a.top == b.top &&
         same_bits(a.result.logprob, b.result.logprob) && a.top_logprobs.size() == b.top_logprobs.size() &&
         std::equal(a.top_logprobs.begin(), a.top_logprobs.end(), b.top_logprobs.begin(), [](float x, float y) { return same_bits(x, y); });
}

Logits::Logits(int32_t vocab, DType type, std::vector<float> from) : vocab(vocab), type(type), values(std::move(from)) {
  if (type == DType::f32) return;
  for (float& v : values) v = std::isfinite(v) ? static_cast<float>(restored(stored_bits(v, type), type)) : v;
}

std::vector<uint8_t> Logits::bytes() const {
  std::vector<uint8_t> out(values.size() * element_size(type));
  for (size_t i = 0; i < values.size(); i++) {
    uint32_t bits;
    std::memcpy(&bits, &values[i], sizeof bits);
    if (type == DType::f16 && std::isfinite(values[i])) bits = stored_bits(values[i], type);
    else if (type == DType::f16) bits = std::isnan(values[i]) ? 0x7e00 : 0x7c00 | (bits >> 16 & 0x8000);
    if (type == DType::bf16) bits >>= 16;  // restored values have no more
    std::memcpy(&out[i * element_size(type)], &bits, element_size(type));
  }
  return out;
}

std::vector<uint32_t> mask_of(const Ask& ask, int32_t vocab) {
  if (ask.allowed.empty()) return {};
  std::vector<uint32_t> mask((vocab + 31) / 32);
  for (const int32_t token : ask.allowed)
    if (token >= 0 && token < vocab) mask[token / 32] |= uint32_t{1} << token % 32;
  return mask;
}

Sampled on_cpu(const Logits& logits, int32_t r, const Ask& ask) {
  SamplingRow row = scalars_of(ask);
  const std::vector<TokenCount> counts = counts_of(ask);
  row.counts = counts.data();
  row.count_count = static_cast<int32_t>(counts.size());
  row.bias_tokens = ask.bias_tokens.data();
  row.bias_values = ask.bias_values.data();
  row.banned = ask.banned.data();
  row.bad_words = ask.bad_words.data();
  row.output = ask.history.data() + ask.prompt;
  const std::vector<uint32_t> mask = mask_of(ask, logits.vocab);
  if (!ask.allowed.empty()) row.allowed = mask.data();
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

std::vector<Sampled> on_device(const Logits& logits, const std::vector<Ask>& asks, const Run& run, const std::string& what) {
  std::list<Resident> residents;
  std::vector<cuda::SampleRow> asked;
  for (const Ask& ask : asks) asked.push_back(residents.emplace_back(ask, logits.vocab).row(ask, logits.vocab));
  cuda::SampleShape shape;
  shape.rows = static_cast<int32_t>(asks.size()) + run.padding;
  shape.vocab = logits.vocab;
  shape.dtype = logits.type;
  shape.group = run.group;
  shape.features = cuda::sample_features(asked.data(), asked.size(), logits.vocab);
  if (run.all_features) shape.features = {true, true, true, true, std::max(3, shape.features.top)};
  asked.resize(shape.rows);

  std::vector<uint8_t> bytes = logits.bytes();
  bytes.resize(bytes.size() + size_t(run.padding) * logits.vocab * element_size(logits.type), 0xff);
  const OnDevice<cuda::SampleRow> rows(asked);
  const OnDevice<uint8_t> in(bytes), scratch(cuda::sample_scratch_bytes(shape));
  const cuda::SampleResults at = cuda::sample_results(shape);
  const OnDevice<uint8_t> results(at.bytes);
  const OnDevice<int32_t> tokens(shape.rows);
  const OnDevice<float> raw(size_t(shape.rows) * logits.vocab);
  cuda::SampleOp op;
  op.logits = in.data();
  op.rows = rows.data();
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
    for (size_t i = 0; i < logits.values.size(); i++) {
      const int32_t own = asks[i / logits.vocab].vocab;
      const float value = own && static_cast<int32_t>(i % logits.vocab) >= own ? -std::numeric_limits<float>::infinity() : logits.values[i];
      fine &= std::isnan(value) ? std::isnan(copied[i]) : same_bits(copied[i], value);
    }
    check(fine, what + ": the tokens' second copy and the float32 logits");
    uint64_t times[2];
    std::memcpy(times, got.data() + at.times, sizeof times);
    check(times[0] > 0 && times[0] <= times[1], what + ": when sampling began and ended");
    bool noted = true;
    auto resident = residents.begin();
    for (size_t r = 0; r < asks.size(); r++, resident++) {
      const std::vector<int32_t> tokens_now = resident->history.get();
      noted &= std::equal(asks[r].history.begin(), asks[r].history.end(), tokens_now.begin());
      noted &= tokens_now.back() == (asks[r].target >= 0 ? asks[r].target : std::max(0, now[r].result.token));
    }
    check(noted, what + ": each row's token behind its history, and nothing else");
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

}  // namespace lorikeet::test
