// Element types of weights, activations and rank rows.
#pragma once
#include <cstddef>
#include <cstdint>

namespace lorikeet {

// i8: rank rows alone, each with a scale.
enum class DType : int32_t { f32 = 0, f16 = 1, bf16 = 2, i8 = 3 };

inline size_t element_size(DType t) { return t == DType::f32 ? 4 : t == DType::i8 ? 1 : 2; }

}  // namespace lorikeet
