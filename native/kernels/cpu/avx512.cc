// The kernels for one instruction set; see CMakeLists.txt for its compiler flags.
#define LORIKEET_ISA avx512
#include "vec_avx512.h"
// Vec first: the kernels are written in terms of it.
#include "adapter_rows.h"
#include "attention.h"
#include "gated_activation.h"
#include "lora.h"
#include "norm.h"
#include "product.h"
#include "sampling.h"

namespace lorikeet {

const Kernels* kernels_of_avx512() {
  static const Kernels table{"avx512",
                             avx512::batched_lora,
                             avx512::scale_input,
                             avx512::batched_embedding,
                             avx512::paged_attention,
                             avx512::sample,
                             avx512::gated_activation,
                             avx512::add_norm,
                             avx512::read_tile,
                             avx512::write_row,
                             avx512::largest_magnitude,
                             avx512::add_product,
                             avx512::row_products};
  return &table;
}

}  // namespace lorikeet
