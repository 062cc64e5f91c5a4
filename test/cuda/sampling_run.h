// Rows of logits with what each asks for, sampled on the CPU and on the device.
#pragma once
#include "../native/harness.h"

namespace lorikeet::test {

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
  std::vector<int32_t> banned;
  std::vector<int32_t> bad_words;  // native/kernels/bad_words.h; empty: none
  std::vector<int32_t> allowed;  // empty: all are
  int32_t logprobs = -1, target = -1;
  int32_t vocab = 0;  // tokens that exist for the row; 0: all
};

// A bit per token id: SamplingRow::allowed. Empty where all are allowed.
std::vector<uint32_t> mask_of(const Ask& ask, int32_t vocab);

struct Sampled {
  SamplingResult result;
  std::vector<int32_t> top;
  std::vector<float> top_logprobs;
};

bool same_bits(float a, float b);
bool same_bits(const Sampled& a, const Sampled& b);

// Rows of logits as one type stores them.
struct Logits {
  int32_t vocab;
  DType type;
  std::vector<float> values;  // [rows, vocab], as restored from the type

  Logits(int32_t vocab, DType type, std::vector<float> from);
  Logits only(int32_t row) const { return {vocab, type, {values.begin() + int64_t(row) * vocab, values.begin() + int64_t(row + 1) * vocab}}; }
  std::vector<uint8_t> bytes() const;  // as stored
};

Sampled on_cpu(const Logits& logits, int32_t row, const Ask& ask);

struct Run {
  int32_t padding = 0, group = 64, times = 1;
  bool all_features = false;  // launch what no row needs, too
};

// The rows on the device. What lies outside the rows' results, and that later runs repeat the first, is checked there.
std::vector<Sampled> on_device(const Logits& logits, const std::vector<Ask>& asks, const Run& run, const std::string& what);

}  // namespace lorikeet::test
