// The graph's session on ONNX Runtime's CUDA provider: made once, run with device addresses, its decode steps captured as CUDA graphs by the provider.
#include "session.h"
#include <algorithm>
#include <string>
#include "../../ops/cuda/cuda_ops.h"
#include "../../ort/weights.h"

namespace lorikeet::cuda {
namespace {

MemoryInfoPtr memory_info(bool host) {
  OrtMemoryInfo* memory = nullptr;
  if (host)
    check(ort().CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
  else
    check(ort().CreateMemoryInfo("Cuda", OrtDeviceAllocator, 0, OrtMemTypeDefault, &memory));
  return MemoryInfoPtr(memory);
}

void add_provider(OrtSessionOptions* session, device::Stream compute, bool capture) {
  ort_env();  // the provider logs to it as it loads
  OrtCUDAProviderOptionsV2* raw = nullptr;
  check(ort().CreateCUDAProviderOptions(&raw));
  const std::unique_ptr<OrtCUDAProviderOptionsV2, void (*)(OrtCUDAProviderOptionsV2*)> provider(
      raw, [](OrtCUDAProviderOptionsV2* p) { ort().ReleaseCUDAProviderOptions(p); });
  // Activations grow the arena by what they need, not by powers of two: the pool has the rest. Strict: norms sum in float32.
  const char* keys[] = {"device_id", "arena_extend_strategy", "enable_cuda_graph", "enable_skip_layer_norm_strict_mode"};
  const char* values[] = {"0", "kSameAsRequested", capture ? "1" : "0", "1"};
  check(ort().UpdateCUDAProviderOptions(raw, keys, values, std::size(keys)));
  check(ort().UpdateCUDAProviderOptionsWithValue(raw, "user_compute_stream", compute));
  check(ort().SessionOptionsAppendExecutionProvider_CUDA_V2(session, raw));
}

// The provider's kernels for 16 or more rows and quantized weights as they are take 64 inputs at a time. ONNX Runtime 1.29 chooses them for any multiple of 32,
// and fails at the first such step of a weight whose inputs are an odd one.
bool multiplies_quantized(const std::vector<InitializerRef>& initializers) {
  return std::none_of(initializers.begin(), initializers.end(), [](const InitializerRef& weight) { return weight.bits && weight.shape[1] % 64 == 32; });
}

class CudaSession : public Session {
 public:
  CudaSession(const EngineOptions& options, const CudaStepContext& context, device::Stream compute, const std::function<void(float)>& progress)
      : on_device_(memory_info(false)), on_host_(memory_info(true)), domain_(context, "CUDAExecutionProvider") {
    Weights weights(options.files);  // the session copies them to the device
    OrtSessionOptions* raw = nullptr;
    check(ort().CreateSessionOptions(&raw));
    SessionOptionsPtr session_options(raw);
    check(ort().SetIntraOpNumThreads(raw, 1));
    check(ort().SetInterOpNumThreads(raw, 1));
    check(ort().SetSessionGraphOptimizationLevel(raw, ORT_ENABLE_ALL));
    check(ort().DisableMemPattern(raw));  // shapes change every step
    add_provider(raw, compute, options.capture_graphs);
    // A node on the CPU would copy its inputs there at every step, and could not be captured: better to fail here, by name.
    check(ort().AddSessionConfigEntry(raw, "session.disable_cpu_ep_fallback", "1"));
    // Otherwise any product of several rows writes the weight out in 16 bits first.
    if (multiplies_quantized(options.initializers)) check(ort().AddSessionConfigEntry(raw, "ep.cuda.fpa_intb_gemm", "1"));
    check(ort().AddCustomOpDomain(raw, domain_.get()));
    weights.add_to(raw, options.initializers, options.threads, progress);
    OrtSession* session = nullptr;
    check(ort().CreateSessionFromArray(ort_env(), options.model.data(), options.model.size(), raw, &session));
    session_.reset(session);
  }

  ValuePtr tensor(void* data, size_t bytes, const std::vector<int64_t>& shape, ONNXTensorElementDataType type, bool on_host) const override {
    OrtValue* value = nullptr;
    check(ort().CreateTensorWithDataAsOrtValue((on_host ? on_host_ : on_device_).get(), data, bytes, shape.data(), shape.size(), type, &value));
    return ValuePtr(value);
  }

  void run(const std::vector<const char*>& names, const std::vector<const OrtValue*>& inputs, OrtValue* summed, OrtValue* tokens, int32_t graph) override {
    OrtRunOptions* raw = nullptr;
    check(ort().CreateRunOptions(&raw));
    const std::unique_ptr<OrtRunOptions, void (*)(OrtRunOptions*)> run_options(raw, [](OrtRunOptions* p) { ort().ReleaseRunOptions(p); });
    check(ort().AddRunConfigEntry(raw, "gpu_graph_id", graph ? std::to_string(graph).c_str() : "-1"));
    // The results are waited for by an event, after they were copied.
    check(ort().AddRunConfigEntry(raw, "disable_synchronize_execution_providers", "1"));
    const char* names_out[] = {"summed", "tokens"};
    OrtValue* outputs[] = {summed, tokens};
    check(ort().Run(session_.get(), raw, names.data(), inputs.data(), inputs.size(), names_out, tokens ? 2 : 1, outputs));
  }

  // 1.29's provider takes this and keeps the graph until the session ends (GraphLimits::total).
  void release_graph(int32_t graph) override { check(ort().SessionReleaseCapturedGraph(session_.get(), graph)); }

 private:
  MemoryInfoPtr on_device_, on_host_;
  CudaOpDomain domain_;
  SessionPtr session_;
};

}  // namespace

std::unique_ptr<Session> make_session(const EngineOptions& options, const CudaStepContext& context, device::Stream compute,
                                      const std::function<void(float)>& progress) {
  return std::make_unique<CudaSession>(options, context, compute, progress);
}

}  // namespace lorikeet::cuda
