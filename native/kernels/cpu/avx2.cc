// The kernels for one instruction set; see CMakeLists.txt for its compiler flags.
#define LORIKEET_ISA avx2
#include "vec_avx2.h"
// Vec first: the kernels are written in terms of it.
#include "adapter_rows.h"
#include "attention.h"
#include "gated_activation.h"
#include "lora.h"
#include "norm.h"
#include "product.h"
#include "sampling.h"

namespace lorikeet {

const Kernels* kernels_of_avx2() {
  static const Kernels table{"avx2",
                             avx2::batched_lora,
                             avx2::scale_input,
                             avx2::batched_embedding,
                             avx2::paged_attention,
                             avx2::sample,
                             avx2::gated_activation,
                             avx2::add_norm,
                             avx2::read_tile,
                             avx2::write_row,
                             avx2::largest_magnitude,
                             avx2::add_product,
                             avx2::row_products};
  return &table;
}

}  // namespace lorikeet
