#include "sample.h"
#include <algorithm>
#include <chrono>
#include <limits>

namespace lorikeet {
namespace {

// What StepOutput has of the logits: a row's own, −inf where a token does not exist for it.
void keep(const LogitsRows& logits, int64_t width, const Slots& slots, Step& step) {
  step.result.logits.assign(step.input.rows.size() * width, -std::numeric_limits<float>::infinity());
  for (size_t r = 0; r < step.input.rows.size(); r++) {
    const int64_t vocab = slots.at(step.input.sequences[step.input.rows[r].sequence].slot).input.vocab_size;
    const int64_t of_base = std::min(vocab, logits.vocab), added = std::min(vocab - of_base, logits.added_vocab);
    float* to = step.result.logits.data() + r * width;
    std::copy_n(logits.values + r * logits.vocab, of_base, to);
    if (added > 0) std::copy_n(logits.added + r * logits.added_vocab, added, to + of_base);
  }
}

}  // namespace

void Sample::compute(OrtKernelContext* kernel) {
  const auto started = std::chrono::steady_clock::now();
  const Dims shape = input_dims(kernel, 0);
  Step& step = *context_.step;
  StepResult& result = step.result;
  if (shape[0] != static_cast<int64_t>(step.input.rows.size())) throw std::invalid_argument("Sample: the logits' rows are not the step's");
  LogitsRows logits{const_cast<float*>(input<float>(kernel, 0)), shape[1]};
  if (input_count(kernel) > 1 && (logits.added = input<float>(kernel, 1))) logits.added_vocab = input_dims(kernel, 1)[1];
  if (step.input.return_logits) keep(logits, context_.vocab_size + context_.added_tokens, *context_.slots, step);
  sample_rows(logits, *context_.slots, parallel_of(kernel, context_.threads), step);
  OrtValue* value = nullptr;
  check(ort().KernelContext_GetOutput(kernel, 0, shape.d, 1, &value));
  void* tokens = nullptr;
  check(ort().GetTensorMutableData(value, &tokens));
  std::copy(result.tokens.begin(), result.tokens.end(), static_cast<int32_t*>(tokens));
  result.sample_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count();
}

}  // namespace lorikeet
