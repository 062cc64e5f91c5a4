// Activations as NEON's products read them, and the parts that the products are made of. What a group of inputs adds stands in group_neon.h, and with the
// matrix instructions (I8MM, BF16) in group_neon_matrix.h.
#pragma once
#include "linear_round.h"
#include "unroll.h"

namespace lorikeet::LORIKEET_ISA {

#if defined(__ARM_FEATURE_MATMUL_INT8) && defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#define LORIKEET_NEON_MATRIX 1
#endif

struct Bytes {
  static constexpr int kUnits = 1;  // words that a row's step of four inputs takes: four bytes
#if defined(__ARM_FEATURE_DOTPROD)
  static constexpr int kRows = 6;
#else
  static constexpr int kRows = 3;  // two integer sums beside each float sum
#endif

  // As round_group in linear_round.h, and laid out.
  static float round_and_put(const float* x, uint32_t* to, int64_t n, int32_t& sum) {
    float32x4_t v[8];
    int32x4_t q[8], most = vdupq_n_s32(0), total = vdupq_n_s32(0);
    for (int i = 0; i < 8; i++) {
      v[i] = vld1q_f32(x + 4 * i);
      most = vmaxq_s32(most, vandq_s32(vreinterpretq_s32_f32(v[i]), vdupq_n_s32(0x7fffffff)));
    }
    const auto [scale, inverse] = group_scale(vmaxvq_s32(most));
    // Of a NaN the conversion makes zero, so that a zero factor leaves nothing of anything.
    for (int i = 0; i < 8; i++) {
      q[i] = vcvtnq_s32_f32(vmulq_n_f32(v[i], inverse));
      total = vaddq_s32(total, q[i]);
    }
    sum = vaddvq_s32(total);
    for (int i = 0; i < 8; i += 4) {
      const int16x8_t first = vcombine_s16(vmovn_s32(q[i]), vmovn_s32(q[i + 1])), second = vcombine_s16(vmovn_s32(q[i + 2]), vmovn_s32(q[i + 3]));
      const uint32x4_t words = vreinterpretq_u32_s8(vcombine_s8(vmovn_s16(first), vmovn_s16(second)));
      vst1q_lane_u32(to + i * n, words, 0);
      vst1q_lane_u32(to + (i + 1) * n, words, 1);
      vst1q_lane_u32(to + (i + 2) * n, words, 2);
      vst1q_lane_u32(to + (i + 3) * n, words, 3);
    }
    return scale;
  }
};

struct Pairs {
#if defined(LORIKEET_NEON_MATRIX)
  static constexpr int kUnits = 1;  // words that two inputs take: two bfloat16
  // A group of 32 inputs, rounded to nearest even.
  static void put(const float* x, uint32_t* to, int64_t n) {
    for (int p = 0; p < 16; p += 4) {
      const bfloat16x8_t low = vcvtq_low_bf16_f32(vld1q_f32(x + 2 * p));
      const uint32x4_t words = vreinterpretq_u32_bf16(vcvtq_high_bf16_f32(low, vld1q_f32(x + 2 * p + 4)));
      vst1q_lane_u32(to + p * n, words, 0);
      vst1q_lane_u32(to + (p + 1) * n, words, 1);
      vst1q_lane_u32(to + (p + 2) * n, words, 2);
      vst1q_lane_u32(to + (p + 3) * n, words, 3);
    }
  }
#else
  static constexpr int kUnits = 2;  // two float32
  static void put(const float* x, uint32_t* to, int64_t n) { put_floats(x, to, n); }
#endif
};

// A word of each of R rows, four in a register; behind the last row stand copies of it.
template <int R>
struct Words {
  uint32x4_t v[(R + 3) / 4];

  explicit Words(const uint32_t* from) {
    LORIKEET_UNROLL
    for (int i = 0; i < R / 4; i++) v[i] = vld1q_u32(from + 4 * i);
    const uint32_t* rest = from + R / 4 * 4;
    if constexpr (R % 4 == 1) v[R / 4] = vld1q_dup_u32(rest);
    if constexpr (R % 4 == 2) v[R / 4] = vcombine_u32(vld1_u32(rest), vld1_dup_u32(rest + 1));
    if constexpr (R % 4 == 3) v[R / 4] = vcombine_u32(vld1_u32(rest), vld1_dup_u32(rest + 2));
  }
  float32x4_t floats(int row) const { return vreinterpretq_f32_u32(v[row / 4]); }
  int8x16_t bytes(int row) const { return vreinterpretq_s8_u32(v[row / 4]); }
};

// sum + w · x[lane]. Lanes are constants once the loops over rows are unrolled.
inline __attribute__((always_inline)) Vec fma_lane(Vec sum, Vec w, float32x4_t x, int lane) {
  switch (lane) {
    case 0: return {vfmaq_laneq_f32(sum.v, w.v, x, 0)};
    case 1: return {vfmaq_laneq_f32(sum.v, w.v, x, 1)};
    case 2: return {vfmaq_laneq_f32(sum.v, w.v, x, 2)};
    default: return {vfmaq_laneq_f32(sum.v, w.v, x, 3)};
  }
}

}  // namespace lorikeet::LORIKEET_ISA

#include "group_neon.h"
