// Operators of ONNX Runtime's CUDA provider that its CPU provider lacks.
#pragma once
#include <vector>
#include "../../../native/ort/api.h"

namespace lorikeet::cuda {

// To be registered with a session beside our own domain.
std::vector<OrtCustomOpDomain*> stand_ins();

}  // namespace lorikeet::cuda
