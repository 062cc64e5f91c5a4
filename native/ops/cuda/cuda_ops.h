// The custom ops of domain "lorikeet" on CUDA, in the session's type.
#pragma once
#include <memory>
#include "../../ort/api.h"
#include "step_context.h"

namespace lorikeet::cuda {

class CudaOpDomain {
 public:
  // `context` must outlive the session; its dtype is the ops'. `provider`: the execution provider that runs them, by ONNX Runtime's name.
  CudaOpDomain(const CudaStepContext& context, const char* provider);
  ~CudaOpDomain();
  OrtCustomOpDomain* get() const;

 private:
  struct Ops;
  std::unique_ptr<Ops> ops_;
};

}  // namespace lorikeet::cuda
