// What the CPU's KV cache is made of: a view is [kv_heads][head_size][block_size] of keys or [kv_heads][block_size][head_size] of values. Keys lie by channel, so
// that a vector of them is read as it is scored, with no transposing. int8 has a scale for each head and token behind the elements (numeric/cache_type.h).
#pragma once
#include <cmath>
#include <limits>
#include "../../numeric/half.h"
#include "../kernels.h"
#include "tiles.h"

namespace lorikeet::LORIKEET_ISA {

struct CacheF32 {
  using Stored = float;
  static constexpr bool scaled = false;
  static Vec load(const float* p) { return Vec::load(p); }
  static float widen(float x) { return x; }
  static float narrow(float x) { return x; }
};
struct CacheF16 {
  using Stored = uint16_t;
  static constexpr bool scaled = false;
  static Vec load(const uint16_t* p) { return Vec::load_f16(p); }
  static float widen(uint16_t x) { return from_half(x); }
  static uint16_t narrow(float x) { return to_half(x); }
};
struct CacheBF16 {
  using Stored = uint16_t;
  static constexpr bool scaled = false;
  static Vec load(const uint16_t* p) { return Vec::load_bf16(p); }
  static float widen(uint16_t x) { return from_bfloat(x); }
  static uint16_t narrow(float x) { return to_bfloat(x); }
};
struct CacheI8 {
  using Stored = int8_t;
  static constexpr bool scaled = true;
  static Vec load(const int8_t* p) { return Vec::load_i8(p); }
  static float widen(int8_t x) { return float(x); }
  // Of a magnitude of 127 at most: to the nearest integer, which adding 1.5 · 2^23 leaves in the lowest bits.
  static int8_t narrow(float x) { return int8_t(bits_as<int32_t>(x + 12582912.0f)); }
};

// One view, and where its parts are.
template <typename Element>
struct CacheView {
  using Stored = typename Element::Stored;
  Stored* elements;
  float* scales;  // [kv_heads][block_size], of int8 alone

  CacheView(const AttentionArgs& a, uint8_t* cache, int64_t view) {
    uint8_t* at = cache + view * cache_view_bytes(a.cache, a.block_size, a.kv_heads, a.head_size);
    elements = reinterpret_cast<Stored*>(at);
    scales = Element::scaled ? reinterpret_cast<float*>(at + cache_scales_at(a.block_size, a.kv_heads, a.head_size)) : nullptr;
  }
};

// Writes n floats, `stride` elements apart; returns their scale: x ≈ scale · what is written. Of what int8 cannot hold the scale is no number: it shows.
template <typename Element>
inline float write_elements(const float* from, int64_t n, typename Element::Stored* to, int64_t stride) {
  float scale = 1, factor = 1;
  if constexpr (Element::scaled) {
    const float most = largest_magnitude(from, n);  // infinite if one is no number
    scale = most / 127;
    factor = 127 / most;
    if (!std::isfinite(most) || !std::isfinite(factor)) {
      for (int64_t i = 0; i < n; i++) to[i * stride] = 0;
      return std::isfinite(most) ? 0 : std::numeric_limits<float>::quiet_NaN();
    }
  }
  if (stride == 1)
    for (int64_t i = 0; i < n; i++) to[i] = Element::narrow(from[i] * factor);
  else
    for (int64_t i = 0; i < n; i++) to[i * stride] = Element::narrow(from[i] * factor);
  return scale;
}

}  // namespace lorikeet::LORIKEET_ISA
