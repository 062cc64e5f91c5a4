// com.microsoft.PagedAttention on the host, for graphs that a GPU would run: pages of 16-bit floats, int8 or float8e4m3fn. Plain loops and float32 sums;
// what ONNX Runtime's CUDA kernel trusts is checked here, so that a wrong table, slot or bound of the engine's ends the step.
#pragma once
#include <cstdint>

namespace lorikeet::emulated {

enum class Float { f16, bf16 };
enum class CacheElement { same, int8, float8 };  // same: the activations' type

struct PagedAttentionArgs {
  Float type = Float::f16;
  CacheElement cache_type = CacheElement::same;
  int64_t tokens = 0, batch = 0, max_blocks = 0;  // rows of query; of block_table, and its columns
  int64_t blocks = 0, block_size = 0;             // of each cache
  int64_t heads = 0, kv_heads = 0, head_size = 0;
  // [tokens, heads * head_size]; without key and value also those of the same token behind it: [tokens, (heads + 2 * kv_heads) * head_size].
  const uint16_t *query = nullptr, *key = nullptr, *value = nullptr;
  void *key_cache = nullptr, *value_cache = nullptr;  // [blocks, block_size, kv_heads, head_size]
  const int32_t *cumulative = nullptr, *past = nullptr, *block_table = nullptr, *slots = nullptr;
  const int32_t* bounds = nullptr;                    // attention_metadata: new tokens, all tokens of any sequence, at most
  const uint16_t *cos = nullptr, *sin = nullptr;      // [positions, rotary / 2]; null: no rotation
  int64_t positions = 0, rotary = 0;
  bool interleaved = false;
  const uint16_t *q_norm = nullptr, *k_norm = nullptr;  // [head_size]; null: none
  float norm_epsilon = 0;
  float k_scale = 1, v_scale = 1;                       // of an 8-bit cache: an element stands for itself times this
  float scale = 0, softcap = 0;
  int64_t window = -1;  // tokens that a query sees, itself included; -1: all
  uint16_t* out = nullptr;  // [tokens, heads * head_size]
};

// Writes the new tokens' keys and values to their slots, then attends to everything that each sequence has, read from the pages.
// Throws std::invalid_argument: a shape that CUDA refuses, or any index or bound that is not true.
void paged_attention(const PagedAttentionArgs& args);

// One element of a float8e4m3fn cache: nearest, ties to even, 448 at most (OCP OFP8).
uint8_t to_float8(float value);
float from_float8(uint8_t bits);

}  // namespace lorikeet::emulated
