// Eight floats without intrinsics: the compiler vectorises the loops with whatever the baseline has (SSE2, NEON).
#pragma once
#include <cstdint>
#include <cstring>
#include "elements.h"

namespace lorikeet::LORIKEET_ISA {

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
    for (int i = 0; i < N; i++) r.v[i] = f16_at(p[i]);
    return r;
  }
  static Vec load_bf16(const uint16_t* p) {
    Vec r;
    for (int i = 0; i < N; i++) r.v[i] = bf16_at(p[i]);
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
  friend Vec operator/(Vec a, Vec b) {
    for (int i = 0; i < N; i++) a.v[i] /= b.v[i];
    return a;
  }
  // The larger; b where either is NaN.
  static Vec max(Vec a, Vec b) {
    for (int i = 0; i < N; i++) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return a;
  }
  // a·b + c; fused or not is the compiler's choice, the same at every call site of this build.
  static Vec fma(Vec a, Vec b, Vec c) {
    for (int i = 0; i < N; i++) c.v[i] += a.v[i] * b.v[i];
    return c;
  }
  // To the nearest integer, for magnitudes below 2^22: adding 1.5 · 2^23 leaves no bit for a fraction.
  static Vec round(Vec a) {
    for (float& e : a.v) e = (e + 12582912.0f) - 12582912.0f;
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
  // Whether every lane of a is below b's; false if one is NaN.
  static bool all_below(Vec a, Vec b) {
    int below = 1;
    for (int i = 0; i < N; i++) below &= a.v[i] < b.v[i];
    return below;
  }
  // Lane by lane: a < b ? x : y.
  static Vec if_below(Vec a, Vec b, Vec x, Vec y) {
    for (int i = 0; i < N; i++) y.v[i] = a.v[i] < b.v[i] ? x.v[i] : y.v[i];
    return y;
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
