// Attention with products of bfloat16 pairs, for caches of bfloat16; all else is avx512's.
#define LORIKEET_ISA avx512bf16
#include "vec_avx512.h"
// Vec first: the kernel is written in terms of it.
#include "attention.h"

namespace lorikeet {

const Kernels* kernels_of_avx512();

const Kernels* kernels_of_avx512bf16() {
  static const Kernels table = [] {
    Kernels all = *kernels_of_avx512();
    all.name = "avx512bf16";
    all.paged_attention = avx512bf16::paged_attention;
    return all;
  }();
  return &table;
}

}  // namespace lorikeet
