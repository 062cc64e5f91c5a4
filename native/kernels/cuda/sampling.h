// Sampling on the device: raw device pointers, a shape and a stream. No CUDA header needed to call it. The semantics are those of SampleArgs in
// native/kernels/kernels.h; docs/cuda.md, "Sampling", says how it works. Nothing allocates or synchronizes, and nothing need be zeroed beforehand:
// scratch and results may hold anything. What a step asks for is read from device memory, so that a captured graph replays with other rows; only a
// SampleShape is fixed by capture. A row's result is the same bits alone and in any batch, whatever the shape's rows, features and group.
#pragma once
#include <cstddef>
#include <cstdint>
#include "../kernels.h"

struct CUstream_st;

namespace lorikeet::cuda {

constexpr int64_t kMaxSampleVocab = int64_t{1} << 20;

// What rows may ask for; kernels that only serve what is absent are not launched. A row that asks for an absent feature is sampled without it.
struct SampleFeatures {
  bool draw = false;        // a row with a temperature
  bool truncation = false;  // a row that draws, with top-k, top-p or min-p
  bool effects = false;     // a row with bias, allowed tokens or penalties
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

// One row's parameters as kernels read them. List places count 4 bytes from the upload's base.
struct alignas(16) SampleRow {
  float scale;         // 1 / temperature; 0: take the largest
  float top_p;         // 1 or more: off
  float min_p_offset;  // temperature · ln(min_p): what a logit may lie below the largest; −inf: off
  int32_t top_k;       // 0: off
  double uniform;      // in [0, 1): the row's draw
  float presence, frequency, repetition;
  int32_t history_count, history_prompt, bias_count, allowed_count;
  uint32_t history, bias_tokens, bias_values, allowed;
  int32_t logprobs;  // -1: none at all
  int32_t target;    // -1: sample
  int32_t idle;      // 1: the row is padding; its logits are not read and its token is 0
};

// A step's sampling parameters in plain arrays, as SamplingBatch in native/types.ts has them. Host pointers.
struct SamplingView {
  int32_t rows = 0;
  const float *temperature = nullptr, *top_p = nullptr, *min_p = nullptr, *presence = nullptr, *frequency = nullptr, *repetition = nullptr;
  const int32_t* top_k = nullptr;
  const uint64_t* seed = nullptr;
  const int32_t* position = nullptr;
  const int32_t *history_starts = nullptr, *history = nullptr, *history_prompt = nullptr;
  const int32_t *bias_starts = nullptr, *bias_tokens = nullptr;
  const float* bias_values = nullptr;
  const int32_t *allowed_starts = nullptr, *allowed_tokens = nullptr;
  const int32_t *logprobs = nullptr, *target = nullptr;
};

// The features that the view's rows need.
SampleFeatures sample_features(const SamplingView& view, int64_t vocab);
// Bytes of the view's lists in an upload; its rows take sizeof(SampleRow) each, padded ones too.
size_t sample_list_bytes(const SamplingView& view);
// Writes `padded_rows` rows (those after the view's are idle) at base + rows_at, and the lists at base + lists_at. `base` is the host's image of the
// upload buffer, whose copy on the device is SampleOp::upload. Both places are multiples of 16 bytes, and base is 16-byte aligned.
void pack_sample_rows(const SamplingView& view, int64_t vocab, int32_t padded_rows, uint8_t* base, size_t rows_at, size_t lists_at);

// Byte offsets in the result buffer, one contiguous piece.
//   tokens, ranks, statuses, top_counts: int32 [rows]; logprobs: float32 [rows]; as SamplingResult
//   top_tokens: int32, top_logprobs: float32 [rows, features.top], of which row r's first top_counts[r] are written, best first
struct SampleResults {
  size_t tokens, ranks, statuses, top_counts, logprobs, top_tokens, top_logprobs, bytes;
};
SampleResults sample_results(const SampleShape& shape);

size_t sample_scratch_bytes(const SampleShape& shape);

// All pointers are the device's, 16-byte aligned.
struct SampleOp {
  const void* logits = nullptr;      // [rows, vocab]
  const uint8_t* upload = nullptr;   // the upload's base
  const SampleRow* rows = nullptr;   // [rows], in the upload
  void* scratch = nullptr;           // sample_scratch_bytes
  uint8_t* results = nullptr;        // sample_results(shape).bytes
  int32_t* tokens = nullptr;         // [rows] or null: the tokens once more, for what follows on the device
  float* logits_out = nullptr;       // [rows, vocab] or null: the logits in float32 before any effect, of rows that are not idle
};

// Returns a cudaError_t (0 = launched).
int sample(const SampleOp& op, const SampleShape& shape, CUstream_st* stream);

}  // namespace lorikeet::cuda
