// The one conversion between float32 and the 16-bit floats, element by element and without branches, so that loops over it become vectors.
// Static: every instruction set's object keeps its own, of which the linker must not choose one for all.
#pragma once
#include <cstdint>
#include <cstring>

namespace lorikeet {

template <typename To, typename From>
static inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

// Exact for every half. The exponent's bias differs by 112: a product with 2^112 corrects it, for subnormals too.
static inline float from_half(uint16_t h) {
  const uint32_t magnitude = (h & 0x7fffu) << 13, sign = (h & 0x8000u) << 16;
  const uint32_t finite = bits_as<uint32_t>(bits_as<float>(magnitude) * 0x1p112f);
  return bits_as<float>(sign | finite | (magnitude >= 0x0f800000u ? 0x7f800000u : 0));
}

// Rounds to nearest even; what exceeds float16 becomes infinite.
static inline uint16_t to_half(float value) {
  const uint32_t bits = bits_as<uint32_t>(value), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  // Below 2^-14 halves are multiples of 2^-24, which is the last place of a float next to 0.5: the addition rounds there.
  const uint32_t subnormal = bits_as<uint32_t>(bits_as<float>(magnitude) + 0.5f) - 0x3f000000u;
  const uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  const uint32_t special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  return static_cast<uint16_t>(sign | (magnitude >= 0x477ff000u ? special : magnitude < 0x38800000u ? subnormal : normal));
}

static inline float from_bfloat(uint16_t b) { return bits_as<float>(uint32_t{b} << 16); }

static inline uint16_t to_bfloat(float value) {
  const uint32_t bits = bits_as<uint32_t>(value);
  return static_cast<uint16_t>(value != value ? bits >> 16 | 64u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace lorikeet
