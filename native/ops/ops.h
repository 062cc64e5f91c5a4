// The custom ops of domain "lorikeet". Each checks shapes and launches a kernel; docs/graph.md says what each computes.
#pragma once
#include <memory>
#include "../ort/api.h"
#include "step_context.h"

namespace lorikeet {

// The ops of one session; `context` must outlive the session.
class OpDomain {
 public:
  explicit OpDomain(const StepContext& context);
  ~OpDomain();
  OrtCustomOpDomain* get() const;

 private:
  struct Ops;
  std::unique_ptr<Ops> ops_;
};

}  // namespace lorikeet
