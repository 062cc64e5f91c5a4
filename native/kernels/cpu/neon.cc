// The kernels for NEON, which every aarch64 processor has.
#define LORIKEET_ISA neon
#include "vec_neon.h"
// Vec first: the kernels are written in terms of it.
#include "adapter_rows.h"
#include "attention.h"
#include "gated_activation.h"
#include "lora.h"
#include "norm.h"
#include "product.h"
#include "sampling.h"

namespace lorikeet {

const Kernels* kernels_of_neon() {
  static const Kernels table{"neon",
                             neon::batched_lora,
                             neon::scale_input,
                             neon::batched_embedding,
                             neon::paged_attention,
                             neon::sample,
                             neon::gated_activation,
                             neon::add_norm,
                             neon::read_tile,
                             neon::write_row,
                             neon::largest_magnitude,
                             neon::add_product,
                             neon::row_products};
  return &table;
}

}  // namespace lorikeet
