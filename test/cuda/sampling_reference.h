// The CPU's sampling, which the CUDA kernels are held against: SampleArgs of native/kernels/kernels.h, on one thread.
#pragma once
#include "kernels/kernels.h"
namespace lorikeet::test {
void sample_on_cpu(const SampleArgs& args);
}  // namespace lorikeet::test
