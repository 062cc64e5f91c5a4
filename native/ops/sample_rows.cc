#include <algorithm>
#include "sample.h"

namespace lorikeet {

void sample_rows(const LogitsRows& logits, Slots& slots, const Parallel& parallel, Step& step) {
  std::vector<SamplingRow> rows = slots.sampling_rows(step.input);
  const size_t count = rows.size();
  std::vector<SamplingResult> results(count);
  std::vector<int32_t> top_offset(count);
  int32_t top_total = 0;
  for (size_t r = 0; r < count; r++) {
    rows[r].logprobs = static_cast<int32_t>(std::min<int64_t>(rows[r].logprobs, logits.vocab + logits.added_vocab));
    top_offset[r] = top_total;
    top_total += std::max(0, rows[r].logprobs);
  }
  std::vector<int32_t> top_tokens(top_total);
  std::vector<float> top_logprobs(top_total);
  SampleArgs args;
  args.logits = logits.values;
  args.vocab = logits.vocab;
  args.added = logits.added;
  args.added_vocab = logits.added_vocab;
  args.rows = rows.data();
  args.row_count = static_cast<int32_t>(count);
  args.results = results.data();
  args.top_offset = top_offset.data();
  args.top_tokens = top_tokens.data();
  args.top_logprobs = top_logprobs.data();
  kernels().sample(args, parallel);
  StepResult& result = step.result;
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
  slots.sampled(step.input, result);
}

}  // namespace lorikeet
