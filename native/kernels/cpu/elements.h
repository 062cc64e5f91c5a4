// Single 16-bit elements as floats.
#pragma once
#include <cstdint>
#include <cstring>

namespace lorikeet::LORIKEET_ISA {

inline float bf16_at(uint16_t b) {
  const uint32_t bits = uint32_t(b) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

// Exact for every half, subnormals included: rebias by a multiplication with 2^112. Without a branch, so that loops over it become vectors.
inline float f16_at(uint16_t h) {
  const uint32_t magnitude = uint32_t(h & 0x7fffu) << 13, sign = uint32_t(h & 0x8000u) << 16;
  float f;
  std::memcpy(&f, &magnitude, 4);
  f *= 0x1p112f;
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  bits |= (magnitude >= 0x0f800000u ? 0x7f800000u : 0) | sign;  // infinity, NaN: all ones in the exponent
  std::memcpy(&f, &bits, 4);
  return f;
}

}  // namespace lorikeet::LORIKEET_ISA
