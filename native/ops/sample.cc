#include "sample.h"
#include <algorithm>
#include <chrono>

namespace lorikeet {

void Sample::compute(OrtKernelContext* kernel) {
  const auto started = std::chrono::steady_clock::now();
  const Dims shape = input_dims(kernel, 0);
  Step& step = *context_.step;
  StepResult& result = step.result;
  if (shape[0] != static_cast<int64_t>(step.input.rows.size())) throw std::invalid_argument("Sample: the logits' rows are not the step's");
  auto* logits = const_cast<float*>(input<float>(kernel, 0));
  if (step.input.return_logits) result.logits.assign(logits, logits + shape[0] * shape[1]);
  sample_rows(logits, shape[1], *context_.slots, parallel_of(kernel, context_.threads), step);
  OrtValue* value = nullptr;
  check(ort().KernelContext_GetOutput(kernel, 0, shape.d, 1, &value));
  void* tokens = nullptr;
  check(ort().GetTensorMutableData(value, &tokens));
  std::copy(result.tokens.begin(), result.tokens.end(), static_cast<int32_t*>(tokens));
  result.sample_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count();
}

}  // namespace lorikeet
