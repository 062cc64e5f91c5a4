// Four floats in a q register (NEON as every aarch64 processor has it).
#pragma once
#include <arm_neon.h>
#include <cstdint>
#include "unroll.h"
#include <cstring>

namespace lorikeet::LORIKEET_ISA {

struct Vec {
  static constexpr int N = 4;
  static constexpr int registers = 32;
  float32x4_t v;

  static Vec set(float x) { return {vdupq_n_f32(x)}; }
  static Vec load(const float* p) { return {vld1q_f32(p)}; }
  static Vec load_f16(const uint16_t* p) { return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))}; }
  static Vec load_bf16(const uint16_t* p) { return {vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16))}; }
  static Vec load_i8(const int8_t* p) {
    uint32_t four;
    std::memcpy(&four, p, sizeof four);
    return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four))))))};
  }
  void store(float* p) const { vst1q_f32(p, v); }
  friend Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
  friend Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
  friend Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
  friend Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
  // The larger; b where either is NaN (FMAX would say NaN, FMAXNM the other).
  static Vec max(Vec a, Vec b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }
  static Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
  static Vec round(Vec a) { return {vrndnq_f32(a.v)}; }
  static Vec exp2i(Vec a) { return {vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(a.v), vdupq_n_s32(127)), 23))}; }
  // a · 2^n for integral n in [-126, 127].
  static Vec scale2(Vec a, Vec n) { return a * exp2i(n); }
  // Whether every lane of a is below b's; false if one is NaN.
  static bool all_below(Vec a, Vec b) { return vminvq_u32(vcltq_f32(a.v, b.v)) != 0; }
  // Lane by lane: a < b ? x : y.
  static Vec if_below(Vec a, Vec b, Vec x, Vec y) { return {vbslq_f32(vcltq_f32(a.v, b.v), x.v, y.v)}; }
  float sum() const { return vaddvq_f32(v); }
  float hmax() const { return vmaxnmvq_f32(v); }
};

// to[t * stride + j] = v[t][j].sum().
inline void sums_of(const Vec (&v)[4][4], float* to, int64_t stride) {
  LORIKEET_UNROLL
  for (int t = 0; t < 4; t++)
    LORIKEET_UNROLL
    for (int j = 0; j < 4; j++) to[t * stride + j] = v[t][j].sum();
}

// to[d * stride + k] = rows[k][d] for k < 4, d < 4.
inline void transpose(const float* const* rows, float* to, int stride) {
  const float32x4_t a = vld1q_f32(rows[0]), b = vld1q_f32(rows[1]), c = vld1q_f32(rows[2]), d = vld1q_f32(rows[3]);
  const float32x4_t ac = vzip1q_f32(a, c), bd = vzip1q_f32(b, d), ac_high = vzip2q_f32(a, c), bd_high = vzip2q_f32(b, d);
  vst1q_f32(to, vzip1q_f32(ac, bd));
  vst1q_f32(to + stride, vzip2q_f32(ac, bd));
  vst1q_f32(to + 2 * stride, vzip1q_f32(ac_high, bd_high));
  vst1q_f32(to + 3 * stride, vzip2q_f32(ac_high, bd_high));
}

}  // namespace lorikeet::LORIKEET_ISA
