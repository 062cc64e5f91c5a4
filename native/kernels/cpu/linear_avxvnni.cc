// The products of packed weights for one instruction set; see CMakeLists.txt for its compiler flags.
#define LORIKEET_ISA avxvnni
#include "vec_avx2.h"
// Vec first, then the dot products: the kernel is written in terms of them.
#include "dot_avx2.h"
#include "linear_run.h"

namespace lorikeet {

const LinearKernels* linear_of_avxvnni() {
  static const LinearKernels table{"avxvnni", linear_layout_of(avxvnni::kTileWidth), avxvnni::kTileWidth, avxvnni::linear};
  return &table;
}

}  // namespace lorikeet
