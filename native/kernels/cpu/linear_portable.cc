// The products of packed weights for the baseline.
#define LORIKEET_ISA portable
#include "vec_portable.h"
// Vec first, then the dot products: the kernel is written in terms of them.
#include "dot_portable.h"
#include "linear_run.h"

namespace lorikeet {

const LinearKernels* linear_of_portable() {
  static const LinearKernels table{"portable", linear_layout_of(portable::kTileWidth), portable::kTileWidth, portable::linear};
  return &table;
}

}  // namespace lorikeet
