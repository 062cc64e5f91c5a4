// What one group of 32 inputs adds to the sums acc[r][c] of a tile, in NEON: add_floats, add_pairs, add_bytes, add_zeroed_bytes and add_halves as linear_tile.h calls them.
// A word of each row is loaded for all rows at once, and multiplied by lane: copies of one number in a register would take as many instructions as the products.
#pragma once
#define LORIKEET_OWN_GROUPS 1
#define LORIKEET_GROUP template <int R, int C> inline __attribute__((always_inline)) void

namespace lorikeet::LORIKEET_ISA {

LORIKEET_GROUP add_floats(const uint8_t* group, const uint32_t* x, Vec (&acc)[R][C]) {
  for (int k = 0; k < kLinearGroup; k++) {
    Vec w[C];
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) w[c] = Vec::load_f16(reinterpret_cast<const uint16_t*>(group) + (k * C + c) * Vec::N);
    const Words<R> xs(x + k * R);
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++)
      LORIKEET_UNROLL
      for (int c = 0; c < C; c++) acc[r][c] = fma_lane(acc[r][c], w[c], xs.floats(r), r % 4);
  }
}

// acc[r][c] += whole[r][c] · scale[r], of integer sums.
LORIKEET_GROUP add_scaled(const int32x4_t (&whole)[R][C], const uint32_t* scale, Vec (&acc)[R][C]) {
  const Words<R> scales(scale);
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) acc[r][c] = fma_lane(acc[r][c], {vcvtq_f32_s32(whole[r][c])}, scales.floats(r), r % 4);
}

// The same of groups with a scale and a second number for each output: the least value, or with `zeros` minus the zero point, which lies `above` higher for the
// bytes that were multiplied.
template <bool zeros, int above = 0, int R, int C>
inline __attribute__((always_inline)) void add_scaled_pairs(const int32x4_t (&whole)[R][C], const uint8_t* group, const uint32_t* scale, const uint32_t* offset, Vec (&acc)[R][C]) {
  const auto* factors = reinterpret_cast<const uint16_t*>(group);
  LORIKEET_UNROLL
  for (int c = 0; c < C; c++) {
    const Vec factor = Vec::load_f16(factors + c * Vec::N);
    Vec second = Vec::load_f16(factors + (C + c) * Vec::N);
    if constexpr (above != 0) second = second + Vec::set(above);
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++) {
      Vec sum = Vec{vcvtq_f32_s32(whole[r][c])} * Vec::set(bits_as<float>(scale[r]));
      if constexpr (zeros) sum = Vec::fma(Vec::set(bits_as<float>(offset[r])), second, sum);
      acc[r][c] = Vec::fma(sum, factor, acc[r][c]);
      if constexpr (!zeros) acc[r][c] = Vec::fma(Vec::set(bits_as<float>(offset[r])), second, acc[r][c]);
    }
  }
}

}  // namespace lorikeet::LORIKEET_ISA

#if defined(LORIKEET_NEON_MATRIX)
#include "group_neon_matrix.h"
#else
namespace lorikeet::LORIKEET_ISA {

// Bfloat16 becomes float32.
LORIKEET_GROUP add_pairs(const uint8_t* group, const uint32_t* x, Vec (&acc)[R][C]) {
  for (int p = 0; p < kLinearGroup / 2; p++) {
    Vec even[C], odd[C];
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) {
      const uint32x4_t both = vreinterpretq_u32_u8(vld1q_u8(group + (p * C + c) * 16));
      even[c] = {vreinterpretq_f32_u32(vshlq_n_u32(both, 16))};
      odd[c] = {vreinterpretq_f32_u32(vandq_u32(both, vdupq_n_u32(0xffff0000u)))};
    }
    const Words<R> first(x + 2 * p * R), second(x + (2 * p + 1) * R);
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++)
      LORIKEET_UNROLL
      for (int c = 0; c < C; c++) acc[r][c] = fma_lane(fma_lane(acc[r][c], even[c], first.floats(r), r % 4), odd[c], second.floats(r), r % 4);
  }
}

#if defined(__ARM_FEATURE_DOTPROD)
// Sums of four outputs' products of bytes.
struct ByteSums {
  int32x4_t v = vdupq_n_s32(0);
  int32x4_t whole() const { return v; }

  // += a · x[lane] + b · y[lane], four bytes of each output with four of the row.
  inline __attribute__((always_inline)) void add(int8x16_t a, int8x16_t b, int8x16_t x, int8x16_t y, int lane) {
    switch (lane) {
      case 0: v = vdotq_laneq_s32(vdotq_laneq_s32(v, a, x, 0), b, y, 0); return;
      case 1: v = vdotq_laneq_s32(vdotq_laneq_s32(v, a, x, 1), b, y, 1); return;
      case 2: v = vdotq_laneq_s32(vdotq_laneq_s32(v, a, x, 2), b, y, 2); return;
      default: v = vdotq_laneq_s32(vdotq_laneq_s32(v, a, x, 3), b, y, 3); return;
    }
  }
};
#else
// Products of bytes in 16 bits, two added there: rows are within ±127 and weights within ±128, so that their sum is at most 32,512. Two sums for each output until the end.
struct ByteSums {
  int32x4_t low = vdupq_n_s32(0), high = vdupq_n_s32(0);
  int32x4_t whole() const { return vpaddq_s32(low, high); }

  static inline __attribute__((always_inline)) int8x16_t spread(int8x16_t x, int lane) {
    const int32x4_t words = vreinterpretq_s32_s8(x);
    switch (lane) {
      case 0: return vreinterpretq_s8_s32(vdupq_laneq_s32(words, 0));
      case 1: return vreinterpretq_s8_s32(vdupq_laneq_s32(words, 1));
      case 2: return vreinterpretq_s8_s32(vdupq_laneq_s32(words, 2));
      default: return vreinterpretq_s8_s32(vdupq_laneq_s32(words, 3));
    }
  }
  inline __attribute__((always_inline)) void add(int8x16_t a, int8x16_t b, int8x16_t x, int8x16_t y, int lane) {
    const int8x16_t xs = spread(x, lane), ys = spread(y, lane);
    low = vpadalq_s16(low, vmlal_s8(vmull_s8(vget_low_s8(a), vget_low_s8(xs)), vget_low_s8(b), vget_low_s8(ys)));
    high = vpadalq_s16(high, vmlal_high_s8(vmull_high_s8(a, xs), b, ys));
  }
};
#endif

// Two steps of four inputs: sums[r][c] += a[c] · x[r] + b[c] · y[r].
LORIKEET_GROUP add_steps(const int8x16_t (&a)[C], const int8x16_t (&b)[C], const uint32_t* x, const uint32_t* y, ByteSums (&sums)[R][C]) {
  const Words<R> xs(x), ys(y);
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) sums[r][c].add(a[c], b[c], xs.bytes(r), ys.bytes(r), r % 4);
}

LORIKEET_GROUP take(const ByteSums (&sums)[R][C], int32x4_t (&whole)[R][C]) {
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) whole[r][c] = sums[r][c].whole();
}

// q + 128 without its highest bit's meaning is q: products of signed bytes need no offset taken back.
LORIKEET_GROUP sum_bytes(const uint8_t* steps, const uint32_t* x, int32x4_t (&whole)[R][C]) {
  ByteSums sums[R][C];
  const uint8x16_t highest = vdupq_n_u8(128);
  LORIKEET_UNROLL
  for (int s = 0; s < 8; s += 2) {
    int8x16_t a[C], b[C];
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) {
      a[c] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(steps + (s * C + c) * 16), highest));
      b[c] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(steps + ((s + 1) * C + c) * 16), highest));
    }
    add_steps<R, C>(a, b, x + s * R, x + (s + 1) * R, sums);
  }
  take<R, C>(sums, whole);
}

LORIKEET_GROUP add_bytes(const uint8_t* group, const uint32_t* x, Vec (&acc)[R][C]) {
  int32x4_t whole[R][C];
  sum_bytes<R, C>(group, x, whole);
  add_scaled<R, C>(whole, x + 8 * R, acc);
}

// Sums of q − 128: the zero point is less by as much.
LORIKEET_GROUP add_zeroed_bytes(const uint8_t* group, const uint32_t* x, Vec (&acc)[R][C]) {
  int32x4_t whole[R][C];
  sum_bytes<R, C>(group + 4 * C * Vec::N, x, whole);
  add_scaled_pairs<true, 128, R, C>(whole, group, x + 8 * R, x + 9 * R, acc);
}

template <bool zeros, int R, int C>
inline __attribute__((always_inline)) void add_halves(const uint8_t* group, const uint32_t* x, Vec (&acc)[R][C]) {
  ByteSums sums[R][C];
  const uint8_t* quads = group + 4 * C * Vec::N;
  LORIKEET_UNROLL
  for (int s = 0; s < 4; s++) {
    int8x16_t low[C], high[C];
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) {
      const uint8x16_t both = vld1q_u8(quads + (s * C + c) * 16);
      low[c] = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
      high[c] = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
    }
    add_steps<R, C>(low, high, x + s * R, x + (s + 4) * R, sums);
  }
  int32x4_t whole[R][C];
  take<R, C>(sums, whole);
  add_scaled_pairs<zeros, 0, R, C>(whole, group, x + 8 * R, x + 9 * R, acc);
}

}  // namespace lorikeet::LORIKEET_ISA
#endif
#undef LORIKEET_GROUP
