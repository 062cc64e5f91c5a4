#include "sampling_run.h"
#include <memory>
#include "kernels/cuda/sampling.h"
#include "memory.h"
#include "sampling_reference.h"
#include "world.h"

namespace lorikeet::test {
namespace {

// The asks as a step's plain arrays.
class Asks {
 public:
  explicit Asks(const std::vector<Ask>& asks) : rows_(static_cast<int32_t>(asks.size())) {
    for (const Ask& ask : asks) {
      for (const float v : {ask.temperature, ask.top_p, ask.min_p, ask.presence, ask.frequency, ask.repetition})
        floats_[floats_at_++ % 6].push_back(v);
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

}  // namespace lorikeet::test
