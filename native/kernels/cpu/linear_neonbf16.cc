// The products of packed weights for one instruction set; see CMakeLists.txt for its compiler flags.
#define LORIKEET_ISA neonbf16
#include "vec_neon.h"
// Vec first, then the dot products: the kernel is written in terms of them.
#include "dot_neon.h"
#include "linear_run.h"

namespace lorikeet {

const LinearKernels* linear_of_neonbf16() {
  static const LinearKernels table{"neonbf16", linear_layout_of(neonbf16::kTileWidth, 8), neonbf16::kTileWidth, neonbf16::linear, 8};
  return &table;
}

}  // namespace lorikeet
