// The products of packed weights for one instruction set; see CMakeLists.txt for its compiler flags.
#define LORIKEET_ISA neon
#include "vec_neon.h"
// Vec first, then the dot products: the kernel is written in terms of them.
#include "dot_neon.h"
#include "linear_run.h"

namespace lorikeet {

const LinearKernels* linear_of_neon() {
  static const LinearKernels table{"neon", linear_layout_of(neon::kTileWidth), neon::kTileWidth, neon::linear};
  return &table;
}

}  // namespace lorikeet
