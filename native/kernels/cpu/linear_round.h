// Rounding a group of activations to int8, and laying out floats. Plain loops, which the compiler makes vectors of.
#pragma once
#include <algorithm>
#include <cstring>
#include <limits>
#include "../../numeric/half.h"
#include "../linear.h"

namespace lorikeet::LORIKEET_ISA {

struct GroupScale {
  float scale, inverse;
};

// most: the largest magnitude's bits. Scale NaN where that is NaN or infinite; zero where it is too small for an inverse (the products are then below 1e-28, and
// count for nothing). Without an inverse, all numbers are zero.
inline GroupScale group_scale(int32_t most) {
  if (most >= 0x7f800000) return {std::numeric_limits<float>::quiet_NaN(), 0};
  const float size = bits_as<float>(most);
  return size < 1e-30f ? GroupScale{0, 0} : GroupScale{size * (1.0f / 127), 127 / size};
}

// q[i] = round(x[i] / scale) to nearest even, sum = Σ q; returns the scale.
inline float round_group(const float* x, int32_t (&q)[kLinearGroup], int32_t& sum) {
  int32_t most = 0;
  for (int i = 0; i < kLinearGroup; i++) most = std::max(most, bits_as<int32_t>(x[i]) & 0x7fffffff);
  const auto [scale, inverse] = group_scale(most);
  // Adding 1.5 · 2^23 leaves no bit for a fraction, and the integer in the low bits.
  for (int i = 0; i < kLinearGroup; i++) q[i] = inverse != 0 ? bits_as<int32_t>(x[i] * inverse + 0x1.8p23f) - bits_as<int32_t>(0x1.8p23f) : 0;
  sum = 0;
  for (int i = 0; i < kLinearGroup; i++) sum += q[i];
  return scale;
}

inline void put_floats(const float* x, uint32_t* to, int64_t n) {
  for (int i = 0; i < kLinearGroup; i++) to[i * n] = bits_as<uint32_t>(x[i]);
}

}  // namespace lorikeet::LORIKEET_ISA
