// The CUDA engine's session without CUDA, in the place of native/engine/cuda/cuda_session.cc: the same graph on ONNX Runtime's CPU provider, with our CUDA ops
// registered for it and the device's memory the host's. It captures nothing: a run that would replay a graph is checked to hand its kernels what the first did.
#include "../../../native/engine/cuda/session.h"
#include "../../../native/ops/cuda/cuda_ops.h"
#include "../../../native/ort/weights.h"
#include "frozen.h"
#include "ort_ops.h"

namespace lorikeet::cuda {
namespace {

class EmulatedSession : public Session {
 public:
  EmulatedSession(const EngineOptions& options, const CudaStepContext& context, const std::function<void(float)>& progress)
      : weights_(options.files), domain_(context, nullptr) {
    OrtMemoryInfo* memory = nullptr;
    check(ort().CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
    memory_.reset(memory);
    OrtSessionOptions* raw = nullptr;
    check(ort().CreateSessionOptions(&raw));
    SessionOptionsPtr session_options(raw);
    check(ort().SetIntraOpNumThreads(raw, 1));
    check(ort().SetInterOpNumThreads(raw, 1));
    check(ort().SetSessionGraphOptimizationLevel(raw, ORT_ENABLE_ALL));
    check(ort().DisableMemPattern(raw));
    for (OrtCustomOpDomain* domain : stand_ins()) check(ort().AddCustomOpDomain(raw, domain));
    check(ort().AddCustomOpDomain(raw, domain_.get()));
    weights_.add_to(raw, options.initializers, options.threads, progress);
    OrtSession* session = nullptr;
    check(ort().CreateSessionFromArray(ort_env(), options.model.data(), options.model.size(), raw, &session));
    session_.reset(session);
  }

  ~EmulatedSession() override { device::emulated::captured_session_ended(session_.get()); }

  ValuePtr tensor(void* data, size_t bytes, const std::vector<int64_t>& shape, ONNXTensorElementDataType type, bool) const override {
    OrtValue* value = nullptr;
    check(ort().CreateTensorWithDataAsOrtValue(memory_.get(), data, bytes, shape.data(), shape.size(), type, &value));
    return ValuePtr(value);
  }

  void run(const std::vector<const char*>& names, const std::vector<const OrtValue*>& inputs, OrtValue* summed, OrtValue* tokens, int32_t graph) override {
    const char* names_out[] = {"summed", "tokens"};
    OrtValue* outputs[] = {summed, tokens};
    device::emulated::captured_run_begins(session_.get(), graph);
    check(ort().Run(session_.get(), nullptr, names.data(), inputs.data(), inputs.size(), names_out, tokens ? 2 : 1, outputs));
    device::emulated::captured_run_ends();
  }

  void release_graph(int32_t graph) override { device::emulated::captured_graph_released(session_.get(), graph); }

 private:
  Weights weights_;  // used where they lie
  MemoryInfoPtr memory_;
  CudaOpDomain domain_;
  SessionPtr session_;
};

}  // namespace

std::unique_ptr<Session> make_session(const EngineOptions& options, const CudaStepContext& context, device::Stream, const std::function<void(float)>& progress) {
  return std::make_unique<EmulatedSession>(options, context, progress);
}

}  // namespace lorikeet::cuda
