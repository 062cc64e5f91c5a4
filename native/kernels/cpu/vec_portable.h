// Eight floats without intrinsics: the compiler vectorises the loops with whatever the baseline has (SSE2, NEON).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace lorikeet::LORIKEET_ISA {

inline float half_to_float(uint16_t h) {
  const uint32_t sign = uint32_t(h & 0x8000u) << 16, exponent = (h >> 10) & 31, mantissa = h & 1023u;
  uint32_t bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000u | (mantissa << 13);
  } else if (exponent) {
    bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
  } else {  // zero and subnormals: mantissa · 2^-24
    const float value = float(mantissa) * 0x1p-24f;
    std::memcpy(&bits, &value, 4);
    bits |= sign;
  }
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

inline float bfloat_to_float(uint16_t b) {
  const uint32_t bits = uint32_t(b) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

struct Vec {
  static constexpr int N = 8;
  float v[N];

  static Vec set(float x) {
    Vec r;
    for (float& e : r.v) e = x;
    return r;
  }
  static Vec load(const float* p) {
    Vec r;
    std::memcpy(r.v, p, sizeof r.v);
    return r;
  }
  static Vec load_f16(const uint16_t* p) {
    Vec r;
    for (int i = 0; i < N; i++) r.v[i] = half_to_float(p[i]);
    return r;
  }
  static Vec load_bf16(const uint16_t* p) {
    Vec r;
    for (int i = 0; i < N; i++) r.v[i] = bfloat_to_float(p[i]);
    return r;
  }
  void store(float* p) const { std::memcpy(p, v, sizeof v); }
  friend Vec operator+(Vec a, Vec b) {
    for (int i = 0; i < N; i++) a.v[i] += b.v[i];
    return a;
  }
  friend Vec operator-(Vec a, Vec b) {
    for (int i = 0; i < N; i++) a.v[i] -= b.v[i];
    return a;
  }
  friend Vec operator*(Vec a, Vec b) {
    for (int i = 0; i < N; i++) a.v[i] *= b.v[i];
    return a;
  }
  static Vec max(Vec a, Vec b) {
    for (int i = 0; i < N; i++) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return a;
  }
  // a·b + c; fused or not is the compiler's choice, the same at every call site of this build.
  static Vec fma(Vec a, Vec b, Vec c) {
    for (int i = 0; i < N; i++) c.v[i] += a.v[i] * b.v[i];
    return c;
  }
  static Vec round(Vec a) {
    for (float& e : a.v) e = std::nearbyint(e);
    return a;
  }
  // 2^a for integral a in [-126, 127].
  static Vec exp2i(Vec a) {
    Vec r;
    for (int i = 0; i < N; i++) {
      const int32_t bits = (int32_t(a.v[i]) + 127) << 23;
      std::memcpy(&r.v[i], &bits, 4);
    }
    return r;
  }
  float sum() const {
    float s = 0;
    for (float e : v) s += e;
    return s;
  }
  float hmax() const {
    float m = v[0];
    for (float e : v) m = e > m ? e : m;
    return m;
  }
};

// to[d * stride + k] = rows[k][d] for k < N, d < N.
inline void transpose(const float* const* rows, float* to, int stride) {
  for (int d = 0; d < Vec::N; d++)
    for (int k = 0; k < Vec::N; k++) to[d * stride + k] = rows[k][d];
}

}  // namespace lorikeet::LORIKEET_ISA
