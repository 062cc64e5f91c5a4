// Chooses the products of packed weights once. Compiled for the baseline: nothing here may need a newer processor.
#include "../linear.h"
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace lorikeet {

const LinearKernels* linear_of_portable();

const LinearKernels* linear_kernels_named(const char* name) {
  if (std::strcmp(name, "portable") == 0) return linear_of_portable();
  return nullptr;
}

const LinearKernels& linear_kernels() {
  static const LinearKernels* chosen = [] {
    const char* wanted = std::getenv("LORIKEET_SIMD");
    if (wanted)
      if (const auto* named = linear_kernels_named(wanted)) return named;
    for (const char* name : kLinearNames)
      if (const auto* here = linear_kernels_named(name)) return here;
    return linear_of_portable();
  }();
  return *chosen;
}

uint32_t linear_layout() { return linear_kernels().layout; }
void linear(const LinearArgs& args, const Parallel& parallel) { linear_kernels().linear(args, parallel); }

}  // namespace lorikeet
