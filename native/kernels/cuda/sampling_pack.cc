// The host's half of sampling: what a step's rows need, their parameters in the form that kernels read, and the layout of results.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>
#include "../../numeric/uniform.h"
#include "sampling.h"

namespace lorikeet::cuda {
namespace {

// How long a row's lists are once those that change nothing are left out.
struct Lists {
  int32_t history = 0, bias = 0, allowed = 0;
  bool any() const { return history + bias + allowed > 0; }
  size_t words() const { return size_t(history) + 2 * size_t(bias) + size_t(allowed); }
};

Lists lists_of(const SamplingView& view, int32_t r) {
  if (view.target[r] >= 0) return {};  // nothing is sampled
  const bool penalised = view.presence[r] != 0 || view.frequency[r] != 0 || view.repetition[r] != 1;
  return {penalised ? view.history_starts[r + 1] - view.history_starts[r] : 0, view.bias_starts[r + 1] - view.bias_starts[r],
          view.allowed_starts[r + 1] - view.allowed_starts[r]};
}

bool draws(const SamplingView& view, int32_t r) { return view.target[r] < 0 && view.temperature[r] >= kLeastTemperature; }

int32_t top_k_of(const SamplingView& view, int32_t r, int64_t vocab) { return view.top_k[r] > 0 && view.top_k[r] < vocab ? view.top_k[r] : 0; }

// Tokens ascending, and what one token is given more than once in the order it was given: a kernel's thread adds one token's biases in turn.
void pack_bias(const int32_t* tokens, const float* values, int32_t count, uint8_t* packed_tokens, uint8_t* packed_values) {
  if (count == 0) return;
  if (std::is_sorted(tokens, tokens + count)) {
    std::memcpy(packed_tokens, tokens, sizeof(int32_t) * count);
    std::memcpy(packed_values, values, sizeof(float) * count);
    return;
  }
  std::vector<int32_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return tokens[a] < tokens[b]; });
  for (int32_t i = 0; i < count; i++) {
    std::memcpy(packed_tokens + sizeof(int32_t) * i, tokens + order[i], sizeof(int32_t));
    std::memcpy(packed_values + sizeof(float) * i, values + order[i], sizeof(float));
  }
}

}  // namespace

SampleFeatures sample_features(const SamplingView& view, int64_t vocab) {
  SampleFeatures features;
  for (int32_t r = 0; r < view.rows; r++) {
    if (draws(view, r)) {
      features.draw = true;
      features.truncation |= top_k_of(view, r, vocab) > 0 || view.top_p[r] < 1 || view.min_p[r] > 0;
    }
    features.effects |= lists_of(view, r).any();
    features.logprobs |= view.logprobs[r] >= 0;
    features.top = std::max(features.top, static_cast<int32_t>(std::min<int64_t>(view.logprobs[r], vocab)));
  }
  return features;
}

size_t sample_list_bytes(const SamplingView& view) {
  size_t words = 0;
  for (int32_t r = 0; r < view.rows; r++) words += lists_of(view, r).words();
  return sizeof(int32_t) * words;
}

void pack_sample_rows(const SamplingView& view, int64_t vocab, int32_t padded_rows, uint8_t* base, size_t rows_at, size_t lists_at) {
  assert(rows_at % 16 == 0 && lists_at % 16 == 0 && padded_rows >= view.rows);
  auto* const rows = reinterpret_cast<SampleRow*>(base + rows_at);
  size_t at = lists_at / sizeof(int32_t);
  const auto place = [&](int32_t count) {
    const size_t here = at;
    at += static_cast<size_t>(count);
    assert(at <= std::numeric_limits<uint32_t>::max());
    return static_cast<uint32_t>(here);
  };
  const auto copy = [&](const int32_t* from, int32_t count) {
    const uint32_t here = place(count);
    if (count > 0) std::memcpy(base + sizeof(int32_t) * size_t(here), from, sizeof(int32_t) * size_t(count));
    return here;
  };
  for (int32_t r = 0; r < padded_rows; r++) {
    SampleRow row = {};
    row.top_p = 1;
    row.min_p_offset = -std::numeric_limits<float>::infinity();
    row.repetition = 1;
    row.logprobs = row.target = -1;
    row.idle = r >= view.rows;
    if (!row.idle) {
      row.logprobs = view.logprobs[r];
      row.target = view.target[r];
      if (draws(view, r)) {
        row.scale = 1 / view.temperature[r];
        row.top_p = view.top_p[r];
        if (view.min_p[r] > 0) row.min_p_offset = view.temperature[r] * std::log(view.min_p[r]);
        row.top_k = top_k_of(view, r, vocab);
        row.uniform = uniform(view.seed[r], view.position[r]);
      }
      row.presence = view.presence[r];
      row.frequency = view.frequency[r];
      row.repetition = view.repetition[r];
      const Lists lists = lists_of(view, r);
      row.history_count = lists.history;
      row.history_prompt = view.history_prompt[r];
      row.bias_count = lists.bias;
      row.allowed_count = lists.allowed;
      row.history = copy(view.history + view.history_starts[r], lists.history);
      row.bias_tokens = place(lists.bias);
      row.bias_values = place(lists.bias);
      pack_bias(view.bias_tokens + view.bias_starts[r], view.bias_values + view.bias_starts[r], lists.bias, base + sizeof(int32_t) * row.bias_tokens,
                base + sizeof(float) * row.bias_values);
      row.allowed = copy(view.allowed_tokens + view.allowed_starts[r], lists.allowed);
    }
    std::memcpy(rows + r, &row, sizeof row);
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
