// The kernels for one instruction set; see CMakeLists.txt for its compiler flags.
#define LORIKEET_ISA avx512
#include "vec_avx512.h"
// Vec first: the kernels are written in terms of it.
#include "adapter_rows.h"
#include "attention.h"
#include "gated_activation.h"
#include "lora.h"
#include "sampling.h"

namespace lorikeet {

const Kernels* kernels_of_avx512() {
  static const Kernels table{"avx512",
                             avx512::batched_lora,
                             avx512::scale_input,
                             avx512::batched_embedding,
                             avx512::paged_attention,
                             avx512::sample,
                             avx512::gated_activation};
  return &table;
}

}  // namespace lorikeet
