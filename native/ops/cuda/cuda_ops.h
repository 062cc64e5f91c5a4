// The custom ops of domain "lorikeet" on CUDA, in the session's type.
#pragma once
#include <memory>
#include <vector>
#include "../../ort/api.h"
#include "step_context.h"

namespace lorikeet::cuda {

class CudaOpDomain {
 public:
  // `context` must outlive the session; its dtype is the ops'.
  explicit CudaOpDomain(const CudaStepContext& context);
  ~CudaOpDomain();
  // What the session needs registered. The emulated build adds domains of its own (emulated_domains).
  std::vector<OrtCustomOpDomain*> all() const;

 private:
  struct Ops;
  std::unique_ptr<Ops> ops_;
};

// Ops that stand in for CUDA kernels of ONNX Runtime in the emulated build (test/cuda); none in a real one.
std::vector<OrtCustomOpDomain*> emulated_domains();
// Stands around a run. The emulated build captures nothing: it checks that a run which would replay graph `graph` of `session` (0: none) hands its kernels
// what the first one did. `end` after a run that did not fail; it throws std::runtime_error where something was missing.
class EmulatedRun {
 public:
  EmulatedRun(const OrtSession* session, int32_t graph);
  void end();
};

}  // namespace lorikeet::cuda
