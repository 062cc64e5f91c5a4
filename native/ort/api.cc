#include "api.h"
#include <dlfcn.h>
#include <mutex>

namespace lorikeet {
namespace {
const OrtApi* api = nullptr;
std::string loaded_from;
std::mutex loading;
}  // namespace

const OrtApi& load_ort(const std::string& library) {
  std::lock_guard lock(loading);
  if (api) {
    if (library != loaded_from) throw std::runtime_error("ONNX Runtime is already loaded from " + loaded_from);
    return *api;
  }
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) throw std::runtime_error(std::string("cannot load ONNX Runtime: ") + dlerror());
  auto base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  if (!base) throw std::runtime_error(library + " is not ONNX Runtime: it has no OrtGetApiBase");
  const OrtApi* found = base()->GetApi(ORT_API_VERSION);
  if (!found)
    throw std::runtime_error(library + " is ONNX Runtime " + base()->GetVersionString() + ", which lacks C API version " +
                             std::to_string(ORT_API_VERSION));
  loaded_from = library;
  return *(api = found);
}

const OrtApi& ort() { return *api; }

OrtEnv* ort_env() {
  static OrtEnv* env = [] {
    OrtEnv* made = nullptr;
    check(ort().CreateEnv(ORT_LOGGING_LEVEL_ERROR, "lorikeet", &made));
    return made;  // lives as long as the process: sessions of every worker thread share it
  }();
  return env;
}

}  // namespace lorikeet
