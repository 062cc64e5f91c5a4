// The products of packed weights for one instruction set; see CMakeLists.txt for its compiler flags.
#define LORIKEET_ISA avx2
#include "vec_avx2.h"
// Vec first, then the dot products: the kernel is written in terms of them.
#include "dot_avx2.h"
#include "linear_run.h"

namespace lorikeet {

const LinearKernels* linear_of_avx2() {
  static const LinearKernels table{"avx2", linear_layout_of(avx2::kTileWidth), avx2::kTileWidth, avx2::linear};
  return &table;
}

}  // namespace lorikeet
