// Attention with products of bfloat16 pairs, for caches of bfloat16; of a table all else is avx512's.
#define LORIKEET_ISA avx512bf16
#include "vec_avx512.h"
// Vec first: the kernel is written in terms of it.
#include "attention.h"

namespace lorikeet {

void attention_of_avx512bf16(const AttentionArgs& args, const Parallel& parallel) { avx512bf16::paged_attention(args, parallel); }

}  // namespace lorikeet
