#include "bench.h"

namespace lorikeet::bench {
namespace {
constexpr int kRows = 32;

void run(const char* what, int vocab, SamplingRow row, const Machine& machine, const Parallel& parallel) {
  lorikeet::test::Random random(3);
  auto logits = random.floats(size_t(kRows) * vocab);
  for (float& x : logits) x = x * x * x * 18;  // few stand out, like a model's
  std::vector<SamplingRow> rows(kRows, row);
  std::vector<SamplingResult> results(kRows);
  std::vector<int32_t> offsets(kRows), top(size_t(kRows) * 20);
  std::vector<float> top_logprobs(top.size());
  for (int r = 0; r < kRows; r++) {
    offsets[r] = r * 20;
    rows[r].seed = r;
  }
  SampleArgs args;
  args.logits = logits.data();
  args.vocab = vocab;
  args.rows = rows.data();
  args.row_count = kRows;
  args.results = results.data();
  args.top_offset = offsets.data();
  args.top_tokens = top.data();
  args.top_logprobs = top_logprobs.data();
  const double ms = least_ms(7, [&] { kernels().sample(args, parallel); });
  report(what, ms, double(logits.size()) * 4 / machine.bytes_per_ms, "logits once");
}

}  // namespace

void bench_sampling(const Machine& machine, const Parallel& parallel) {
  constexpr int kVocab = 128256;
  SamplingRow row;
  run("sampling, 32 rows of 128,256, greedy", kVocab, row, machine, parallel);
  row.temperature = 0.8f;
  run("sampling, temperature", kVocab, row, machine, parallel);
  row.top_p = 0.9f;
  run("sampling, temperature, top-p 0.9", kVocab, row, machine, parallel);
  row.top_k = 50;
  run("sampling, temperature, top-p 0.9, top-k 50", kVocab, row, machine, parallel);
  row = {};
  row.logprobs = 20;
  run("sampling, greedy, 20 logprobs", kVocab, row, machine, parallel);
}

}  // namespace lorikeet::bench
