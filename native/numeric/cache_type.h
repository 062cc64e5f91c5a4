// Element types of the KV cache, and how long a view of it is on the CPU.
#pragma once
#include <cstddef>
#include <cstdint>

namespace lorikeet {

enum class CacheType { f32, f16, bf16, i8, f8 };

inline size_t element_size(CacheType t) { return t == CacheType::f32 ? 4 : t == CacheType::f16 || t == CacheType::bf16 ? 2 : 1; }

// Where the scales of an int8 view begin, behind its elements: float32 [kv_heads][block_size], for each head and token one.
inline int64_t cache_scales_at(int64_t block_size, int64_t kv_heads, int64_t head_size) { return (block_size * kv_heads * head_size + 3) / 4 * 4; }

// Bytes of one layer's K or V of a block.
inline int64_t cache_view_bytes(CacheType t, int64_t block_size, int64_t kv_heads, int64_t head_size) {
  if (t == CacheType::i8) return cache_scales_at(block_size, kv_heads, head_size) + block_size * kv_heads * 4;
  return block_size * kv_heads * head_size * static_cast<int64_t>(element_size(t));
}

}  // namespace lorikeet
