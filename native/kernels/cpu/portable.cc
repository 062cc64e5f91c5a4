// The kernels for one instruction set; see CMakeLists.txt for its compiler flags.
#define LORIKEET_ISA portable
#include "vec_portable.h"
// Vec first: the kernels are written in terms of it.
#include "adapter_rows.h"
#include "attention.h"
#include "gated_activation.h"
#include "lora.h"
#include "norm.h"
#include "product.h"
#include "sampling.h"

namespace lorikeet {

const Kernels* kernels_of_portable() {
  static const Kernels table{"portable",
                             portable::batched_lora,
                             portable::scale_input,
                             portable::batched_embedding,
                             portable::paged_attention,
                             portable::sample,
                             portable::gated_activation,
                             portable::add_norm,
                             portable::read_tile,
                             portable::write_row,
                             portable::largest_magnitude,
                             portable::add_product,
                             portable::row_products};
  return &table;
}

}  // namespace lorikeet
