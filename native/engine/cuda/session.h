// What the engine on CUDA needs of the graph's session.
#pragma once
#include <functional>
#include <memory>
#include <vector>
#include "../../ops/cuda/step_context.h"
#include "../../ort/api.h"
#include "../options.h"

namespace lorikeet::cuda {

class Session {
 public:
  virtual ~Session() = default;
  // A tensor over memory that somebody else owns: on the device, or (attention_metadata) the host's.
  virtual ValuePtr tensor(void* data, size_t bytes, const std::vector<int64_t>& shape, ONNXTensorElementDataType type, bool on_host = false) const = 0;
  // `graph`: 0 runs the kernels one by one; another number captures a graph under it at the first run and replays it later. Returns before the device is done.
  // `summed`, `tokens`: the graph's outputs; the latter null where the model has no head.
  virtual void run(const std::vector<const char*>& names, const std::vector<const OrtValue*>& inputs, OrtValue* summed, OrtValue* tokens, int32_t graph) = 0;
  // Gives back what was captured under `graph`. On the thread of the runs, and only where the stream is done with its replays.
  virtual void release_graph(int32_t graph) = 0;
};

// Makes the session with its weights. `compute`: the stream on which everything runs; `context` outlives the session; `progress` gets the fraction of the
// weights read. Throws std::exception. Which session an addon has is decided by which definition of this it is linked with.
std::unique_ptr<Session> make_session(const EngineOptions& options, const CudaStepContext& context, device::Stream compute,
                                      const std::function<void(float)>& progress);

}  // namespace lorikeet::cuda
