// The products of packed weights for one instruction set; see CMakeLists.txt for its compiler flags.
#define LORIKEET_ISA avx512bf16
#include "vec_avx512.h"
// Vec first, then the dot products: the kernel is written in terms of them.
#include "dot_avx512.h"
#include "linear_run.h"

namespace lorikeet {

const LinearKernels* linear_of_avx512bf16() {
  static const LinearKernels table{"avx512bf16", linear_layout_of(avx512bf16::kTileWidth), avx512bf16::kTileWidth, avx512bf16::linear};
  return &table;
}

}  // namespace lorikeet
