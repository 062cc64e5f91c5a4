#include "cpu_engine.h"
#ifdef LORIKEET_WITH_CUDA
#include "cuda/cuda_engine.h"
#endif

namespace lorikeet {

std::unique_ptr<Engine> create_engine(EngineOptions options, const std::function<void(float)>& progress) {
  load_ort(options.library);
  if (!options.cuda) return std::make_unique<CpuEngine>(options, progress);
#ifdef LORIKEET_WITH_CUDA
  return std::make_unique<cuda::CudaEngine>(std::move(options), progress);
#else
  throw std::runtime_error("this addon was built without CUDA");
#endif
}

#ifdef LORIKEET_WITH_CUDA
bool has_cuda() { return true; }
std::optional<device::Info> cuda_device_info(std::string& missing) {
  if (!device::available(missing)) return std::nullopt;
  return device::info();
}
#else
bool has_cuda() { return false; }
std::optional<device::Info> cuda_device_info(std::string& missing) {
  missing = "this addon was built without CUDA: nvcc was not found";
  return std::nullopt;
}
#endif

}  // namespace lorikeet
