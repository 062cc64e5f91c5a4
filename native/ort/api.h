// ONNX Runtime's C API, loaded at run time from the library that onnxruntime-node ships, so that building needs no library at all.
#pragma once
#include <memory>
#include <stdexcept>
#include <string>
#include "onnxruntime_c_api.h"

namespace lorikeet {

// Loads the library once per process; later calls must name the same file. Throws std::runtime_error.
const OrtApi& load_ort(const std::string& library);
// The API after load_ort.
const OrtApi& ort();
// The process's one environment, made on first use.
OrtEnv* ort_env();

inline void check(OrtStatus* status) {
  if (!status) return;
  std::string message = ort().GetErrorMessage(status);
  ort().ReleaseStatus(status);
  throw std::runtime_error(message);
}


// Owning pointers for what the C API hands out.
#define LORIKEET_ORT_OWNER(Type)                                             \
  struct Type##Deleter {                                                     \
    void operator()(Ort##Type* p) const { ort().Release##Type(p); }          \
  };                                                                         \
  using Type##Ptr = std::unique_ptr<Ort##Type, Type##Deleter>;
LORIKEET_ORT_OWNER(Session)
LORIKEET_ORT_OWNER(SessionOptions)
LORIKEET_ORT_OWNER(MemoryInfo)
LORIKEET_ORT_OWNER(Value)
LORIKEET_ORT_OWNER(CustomOpDomain)
LORIKEET_ORT_OWNER(TensorTypeAndShapeInfo)
#undef LORIKEET_ORT_OWNER

}  // namespace lorikeet
