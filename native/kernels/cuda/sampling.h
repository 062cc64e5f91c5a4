// Sampling on the device: raw device pointers, a shape and a stream. No CUDA header needed to call it. The semantics are those of SampleArgs in
// native/kernels/kernels.h; docs/cuda.md, "Sampling", says how it works. Nothing allocates or synchronizes, and nothing need be zeroed beforehand:
// scratch and results may hold anything. What a step asks for is read from device memory, so that a captured graph replays with other rows; only a
// SampleShape is fixed by capture. A row's result is the same bits alone and in any batch, whatever the shape's rows, features and group.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include "../kernels.h"

struct CUstream_st;

namespace lorikeet::cuda {

constexpr int64_t kMaxSampleVocab = int64_t{1} << 20;

// What rows may ask for; kernels that only serve what is absent are not launched. A row that asks for an absent feature is sampled without it.
struct SampleFeatures {
  bool draw = false;        // a row with a temperature
  bool truncation = false;  // a row that draws, with top-k, top-p or min-p
  bool effects = false;     // a row with bias, banned or allowed tokens, bad words, or penalties
  bool logprobs = false;    // a row that wants logprobs
  int32_t top = 0;          // the most of the largest that a row wants; room for that many is in the results, of every row
};

// What the launches depend on: the key under which a captured graph is kept.
struct SampleShape {
  int32_t rows = 0;  // padded rows included
  int64_t vocab = 0;
  DType dtype = DType::f16;  // of the logits
  SampleFeatures features;
  int32_t group = 64;  // rows sampled at once; scratch is for one group
};

// One row's parameters as kernels read them. What its sequence brought, and what it has so far, lies on the device: pointers.
struct alignas(16) SampleRow {
  float scale = 0;   // 1 / temperature; 0: take the largest
  float top_p = 1;   // 1 or more: off
  float min_p_offset = -std::numeric_limits<float>::infinity();  // temperature · ln(min_p): what a logit may lie below the largest; −inf: off
  int32_t top_k = 0;    // 0: off
  double uniform = 0;   // in [0, 1): the row's draw
  float presence = 0, frequency = 0, repetition = 1;
  int32_t history_count = 0, prompt_length = 0;  // 0: nothing is penalised; of the history, the first so many are the prompt
  int32_t bias_count = 0, banned_count = 0, bad_word_count = 0;
  int32_t written = 0;    // tokens of the history that are output, where there are bad words
  int32_t logprobs = -1;  // -1: none at all
  int32_t scores = 0;     // 1: the row's token is read at `token`, nothing is sampled
  int32_t vocab = 0;      // tokens from here on do not exist for it. 0: the row is padding; its logits are not read and its token is 0
  const int32_t* history = nullptr;      // [history_count], [prompt_length + written]
  const int32_t* bias_tokens = nullptr;  // [bias_count] ascending; see sort_bias
  const float* bias_values = nullptr;
  const int32_t* banned = nullptr;    // [banned_count]
  const int32_t* bad_words = nullptr;  // as SamplingRow's
  const uint32_t* allowed = nullptr;  // as SamplingRow's
  int32_t* token = nullptr;  // where the row's token stands in its sequence: it is written there (0 where there is none); null: nowhere
};

// Where a row stands in its sequence, whose tokens lie at `history` on the device.
struct RowPlace {
  int32_t* history = nullptr;
  int32_t length = 0;  // tokens before the row's
  int32_t prompt_length = 0;
  bool scores = false;
};

// `row` as kernels read it. Its lists are the device's and its bias is sorted; counts and target are not read: the place says both.
SampleRow sample_row(const SamplingRow& row, const RowPlace& place, int64_t vocab);
// The features that these rows need.
SampleFeatures sample_features(const SampleRow* rows, size_t count, int64_t vocab);
// Tokens ascending, and what one token is given more than once in the order it was given: a kernel's thread adds one token's biases in turn.
void sort_bias(int32_t* tokens, float* values, size_t count);

// Byte offsets in the result buffer, one contiguous piece.
//   tokens, ranks, statuses, top_counts: int32 [rows]; logprobs: float32 [rows]; as SamplingResult
//   times: uint64 [2]: when sampling began and ended on the device's clock, in ns
//   top_tokens: int32, top_logprobs: float32 [rows, features.top], of which row r's first top_counts[r] are written, best first
struct SampleResults {
  size_t times, tokens, ranks, statuses, top_counts, logprobs, top_tokens, top_logprobs, bytes;
};
SampleResults sample_results(const SampleShape& shape);

size_t sample_scratch_bytes(const SampleShape& shape);

// All pointers are the device's, 16-byte aligned.
struct SampleOp {
  const void* logits = nullptr;      // [rows, vocab]
  const SampleRow* rows = nullptr;   // [rows]
  void* scratch = nullptr;           // sample_scratch_bytes
  uint8_t* results = nullptr;        // sample_results(shape).bytes
  int32_t* tokens = nullptr;         // [rows] or null: the tokens once more, for what follows on the device
  float* logits_out = nullptr;       // [rows, vocab] or null: the logits in float32 before any effect, of rows that are not padding
};

// Returns a cudaError_t (0 = launched).
int sample(const SampleOp& op, const SampleShape& shape, CUstream_st* stream);

}  // namespace lorikeet::cuda
