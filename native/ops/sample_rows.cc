#include <algorithm>
#include "sample.h"

namespace lorikeet {

void sample_rows(float* logits, int64_t vocab, const SamplingInput& in, const Parallel& parallel, StepResult& result) {
  const size_t count = in.temperature.size();
  std::vector<SamplingRow> rows(count);
  std::vector<SamplingResult> results(count);
  std::vector<int32_t> top_offset(count);
  int32_t top_total = 0;
  for (size_t r = 0; r < count; r++) {
    SamplingRow& row = rows[r];
    row.temperature = in.temperature[r];
    row.top_p = in.top_p[r];
    row.min_p = in.min_p[r];
    row.top_k = in.top_k[r];
    row.seed = in.seed[r];
    row.position = in.position[r];
    row.presence = in.presence[r];
    row.frequency = in.frequency[r];
    row.repetition = in.repetition[r];
    row.history = in.history.data() + in.history_starts[r];
    row.history_count = in.history_starts[r + 1] - in.history_starts[r];
    row.history_prompt = in.history_prompt[r];
    row.bias_tokens = in.bias_tokens.data() + in.bias_starts[r];
    row.bias_values = in.bias_values.data() + in.bias_starts[r];
    row.bias_count = in.bias_starts[r + 1] - in.bias_starts[r];
    row.allowed = in.allowed_tokens.data() + in.allowed_starts[r];
    row.allowed_count = in.allowed_starts[r + 1] - in.allowed_starts[r];
    row.logprobs = static_cast<int32_t>(std::min<int64_t>(in.logprobs[r], vocab));
    row.target = in.target[r];
    top_offset[r] = top_total;
    top_total += std::max(0, row.logprobs);
  }
  std::vector<int32_t> top_tokens(top_total);
  std::vector<float> top_logprobs(top_total);
  SampleArgs args;
  args.logits = logits;
  args.vocab = vocab;
  args.rows = rows.data();
  args.row_count = static_cast<int32_t>(count);
  args.results = results.data();
  args.top_offset = top_offset.data();
  args.top_tokens = top_tokens.data();
  args.top_logprobs = top_logprobs.data();
  kernels().sample(args, parallel);
  result.tokens.resize(count);
  result.rank.resize(count);
  result.logprob.resize(count);
  result.row_status.resize(count);
  result.top_starts.assign(1, 0);
  for (size_t r = 0; r < count; r++) {
    result.tokens[r] = results[r].token;
    result.rank[r] = results[r].rank;
    result.logprob[r] = results[r].logprob;
    result.row_status[r] = results[r].status;
    const auto from = top_offset[r], to = from + results[r].top_count;
    result.top_tokens.insert(result.top_tokens.end(), top_tokens.begin() + from, top_tokens.begin() + to);
    result.top_logprobs.insert(result.top_logprobs.end(), top_logprobs.begin() + from, top_logprobs.begin() + to);
    result.top_starts.push_back(static_cast<int32_t>(result.top_tokens.size()));
  }
}

}  // namespace lorikeet
