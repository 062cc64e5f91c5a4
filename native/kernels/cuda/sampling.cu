// Sampling, the host's side of a launch: scratch, and the kernels that a shape needs, group by group.
#include <algorithm>
#include <cassert>
#include <type_traits>
#include "sampling.cuh"

namespace lorikeet::cuda {
namespace {

// Places the scratch of one group at `base` and returns its bytes. What the features do not need takes none.
size_t lay_out(SampleWork& work, const SampleShape& shape, uint8_t* base) {
  const SampleFeatures& features = shape.features;
  const auto rows = static_cast<size_t>(std::min(shape.rows, shape.group));
  const auto vocab = static_cast<size_t>(shape.vocab), spans = (vocab + kSpan - 1) / kSpan;
  size_t at = 0;
  const auto take = [&](auto*& pointer, size_t per_row, bool needed) {
    pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(base + at);
    if (needed) at += (sizeof(*pointer) * per_row * rows + 15) / 16 * 16;
  };
  const bool tops = features.top > 0, truncation = features.draw && features.truncation;
  size_t room = 2;
  while (room < static_cast<size_t>(features.top)) room *= 2;
  work.keep_raw = features.draw || features.logprobs || features.effects;
  take(work.largest[kRaw], spans, true);
  take(work.largest[kChosen], spans, features.effects);
  take(work.masses[kRaw], spans, features.logprobs);
  take(work.masses[kChosen], spans, features.draw);
  take(work.bin_counts[kRaw], kBins, tops);
  take(work.bin_counts[kChosen], kBins, truncation);
  take(work.bin_masses, kBins, truncation);
  take(work.listed_count[kRaw], 1, tops);
  take(work.listed_count[kChosen], 1, truncation);
  take(work.listed[kRaw], vocab, tops);
  take(work.listed[kChosen], vocab, truncation);
  take(work.plane[kRaw], spans * kSpan, work.keep_raw);
  take(work.plane[kChosen], spans * kSpan, features.effects);
  take(work.seen, vocab, features.effects);
  take(work.sorted, room, tops);
  return at;
}

// The kernels of one group of rows.
int sample_group(const SampleWork& work, int32_t rows, DType dtype, CUstream_st* stream) {
  const SampleFeatures& features = work.features;
  int error = survey(work, rows, dtype, stream);
  if (error == 0 && features.effects) error = apply_effects(work, rows, stream);
  if (error == 0 && features.effects) error = survey_changed(work, rows, stream);
  if (error == 0 && (features.draw || features.logprobs)) error = weigh(work, rows, stream);
  if (error == 0 && (features.truncation || features.top > 0)) error = list_candidates(work, rows, stream);
  if (error == 0) error = pick(work, rows, stream);
  if (error == 0 && features.logprobs) error = count_better(work, rows, stream);
  return error;
}

// Without draws nothing is truncated, without logprobs there is no top.
SampleShape consistent(SampleShape shape) {
  assert(shape.rows >= 0 && shape.group > 0 && shape.vocab > 0 && shape.vocab <= kMaxSampleVocab);
  shape.features.truncation &= shape.features.draw;
  if (!shape.features.logprobs) shape.features.top = 0;
  return shape;
}

}  // namespace

size_t sample_scratch_bytes(const SampleShape& shape) {
  SampleWork work = {};
  return lay_out(work, consistent(shape), nullptr);
}

int sample(const SampleOp& op, const SampleShape& asked, CUstream_st* stream) {
  const SampleShape shape = consistent(asked);
  SampleWork work = {};
  lay_out(work, shape, static_cast<uint8_t*>(op.scratch));
  work.logits = op.logits;
  work.rows = op.rows;
  work.logits_out = op.logits_out;
  work.vocab = static_cast<int32_t>(shape.vocab);
  work.spans = (work.vocab + kSpan - 1) / kSpan;
  work.features = shape.features;
  const SampleResults at = sample_results(shape);
  const auto integers = [&](size_t offset) { return reinterpret_cast<int32_t*>(op.results + offset); };
  work.times = reinterpret_cast<uint64_t*>(op.results + at.times);
  work.tokens = integers(at.tokens);
  work.ranks = integers(at.ranks);
  work.statuses = integers(at.statuses);
  work.top_counts = integers(at.top_counts);
  work.logprobs = reinterpret_cast<float*>(op.results + at.logprobs);
  work.top_tokens = integers(at.top_tokens);
  work.top_logprobs = reinterpret_cast<float*>(op.results + at.top_logprobs);
  work.also_tokens = op.tokens;
  for (work.first_row = 0; work.first_row < shape.rows; work.first_row += shape.group) {
    const int error = sample_group(work, std::min(shape.group, shape.rows - work.first_row), shape.dtype, stream);
    if (error) return error;
  }
  return 0;
}

}  // namespace lorikeet::cuda
