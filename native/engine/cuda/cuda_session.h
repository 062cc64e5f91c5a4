// The graph's session on ONNX Runtime's CUDA provider: made once, run with device addresses, its decode steps captured as CUDA graphs by the provider.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>
#include "../../ops/cuda/cuda_ops.h"
#include "../../ort/weights.h"
#include "../options.h"

namespace lorikeet::cuda {

class CudaSession {
 public:
  // Copies the weights to the device. `compute`: the stream on which everything runs.
  CudaSession(const EngineOptions& options, const CudaStepContext& context, device::Stream compute, const std::function<void(float)>& progress);
  // A tensor over memory that somebody else owns: on the device, or (attention_metadata) the host's.
  ValuePtr tensor(void* data, size_t bytes, const std::vector<int64_t>& shape, ONNXTensorElementDataType type, bool on_host = false) const;
  // `graph`: 0 runs the kernels one by one; another number captures a graph under it at the first run and replays it later. Returns before the device is done.
  void run(const std::vector<const char*>& names, const std::vector<const OrtValue*>& inputs, OrtValue* tokens, int32_t graph);

 private:
  std::unique_ptr<Weights> kept_;  // emulated: the session uses them in place
  MemoryInfoPtr on_device_, on_host_;
  CudaOpDomain domain_;
  SessionPtr session_;
};

}  // namespace lorikeet::cuda
