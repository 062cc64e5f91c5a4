// The host's half of sampling: a row's parameters in the form that kernels read, what a step's rows need, and the layout of results.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>
#include "../../numeric/uniform.h"
#include "sampling.h"

namespace lorikeet::cuda {

SampleRow sample_row(const SamplingRow& from, const RowPlace& place, int64_t vocab) {
  SampleRow row;
  row.vocab = static_cast<int32_t>(from.vocab ? from.vocab : vocab);
  row.logprobs = from.logprobs;
  row.scores = place.scores;
  row.token = place.history ? place.history + place.length : nullptr;
  if (place.scores) return row;
  if (from.temperature >= kLeastTemperature) {
    row.scale = 1 / from.temperature;
    row.top_p = from.top_p;
    if (from.min_p > 0) row.min_p_offset = from.temperature * std::log(from.min_p);
    row.top_k = from.top_k > 0 && from.top_k < row.vocab ? from.top_k : 0;
    row.uniform = uniform(from.seed, from.position);
  }
  row.presence = from.presence;
  row.frequency = from.frequency;
  row.repetition = from.repetition;
  if (from.presence != 0 || from.frequency != 0 || from.repetition != 1) row.history_count = place.length;
  row.prompt_length = place.prompt_length;
  row.history = place.history;
  row.bias_count = from.bias_count;
  row.bias_tokens = from.bias_tokens;
  row.bias_values = from.bias_values;
  row.banned_count = from.banned_count;
  row.banned = from.banned;
  row.bad_word_count = from.bad_word_count;
  row.bad_words = from.bad_words;
  row.written = from.position;
  row.allowed = from.allowed;
  return row;
}

SampleFeatures sample_features(const SampleRow* rows, size_t count, int64_t vocab) {
  SampleFeatures features;
  for (const SampleRow* row = rows; row < rows + count; row++) {
    if (row->scale > 0) {
      features.draw = true;
      features.truncation |= row->top_k > 0 || row->top_p < 1 || row->min_p_offset > -std::numeric_limits<float>::infinity();
    }
    features.effects |= row->history_count + row->bias_count + row->banned_count + row->bad_word_count > 0 || row->allowed;
    features.logprobs |= row->logprobs >= 0;
    features.top = std::max(features.top, static_cast<int32_t>(std::min<int64_t>(row->logprobs, vocab)));
  }
  return features;
}

void sort_bias(int32_t* tokens, float* values, size_t count) {
  if (std::is_sorted(tokens, tokens + count)) return;
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return tokens[a] < tokens[b]; });
  const std::vector<int32_t> old_tokens(tokens, tokens + count);
  const std::vector<float> old_values(values, values + count);
  for (size_t i = 0; i < count; i++) {
    tokens[i] = old_tokens[order[i]];
    values[i] = old_values[order[i]];
  }
}

SampleResults sample_results(const SampleShape& shape) {
  SampleResults results = {};
  size_t at = 0;
  const auto take = [&](size_t words) {
    const size_t here = at;
    at += (sizeof(int32_t) * words + 15) / 16 * 16;
    return here;
  };
  const auto rows = static_cast<size_t>(shape.rows), tops = shape.features.logprobs ? rows * static_cast<size_t>(shape.features.top) : 0;
  results.times = take(4);
  results.tokens = take(rows);
  results.ranks = take(rows);
  results.statuses = take(rows);
  results.top_counts = take(rows);
  results.logprobs = take(rows);
  results.top_tokens = take(tops);
  results.top_logprobs = take(tops);
  results.bytes = at;
  return results;
}

}  // namespace lorikeet::cuda
