// Four floats, in the vector types of GCC and Clang instead of intrinsics: SSE2, NEON, or whatever else the baseline has.
#pragma once
#include <cstdint>
#include <cstring>
#include "unroll.h"

namespace lorikeet::LORIKEET_ISA {

struct Vec {
  static constexpr int N = 4;
#if defined(__aarch64__)
  static constexpr int registers = 32;
#else
  static constexpr int registers = 16;
#endif
  typedef float Floats __attribute__((vector_size(16)));
  typedef int32_t Ints __attribute__((vector_size(16)));
  typedef uint32_t Bits __attribute__((vector_size(16)));
  typedef uint16_t Shorts __attribute__((vector_size(8)));
  Floats v;

  static Vec set(float x) { return {Floats{x, x, x, x}}; }
  static Vec load(const float* p) {
    Vec r;
    std::memcpy(&r.v, p, sizeof r.v);
    return r;
  }
  // As from_half in numeric/half.h, four at a time.
  static Vec load_f16(const uint16_t* p) {
    const Bits h = wide(p), magnitude = (h & 0x7fffu) << 13, sign = (h & 0x8000u) << 16;
    const Bits scaled = bits_of(from(magnitude).v * 0x1p112f), special = magnitude >= 0x0f800000u;  // all ones where true: infinity, NaN
    return from(scaled | (special & 0x7f800000u) | sign);
  }
  static Vec load_bf16(const uint16_t* p) { return from(wide(p) << 16); }
  static Vec load_i8(const int8_t* p) { return {Floats{float(p[0]), float(p[1]), float(p[2]), float(p[3])}}; }
  void store(float* p) const { std::memcpy(p, &v, sizeof v); }
  friend Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
  friend Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
  friend Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
  friend Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
  // The larger; b where either is NaN.
  static Vec max(Vec a, Vec b) { return select(a.v > b.v, a, b); }
  // Not fused (see CMakeLists.txt): the same rounding everywhere in this build.
  static Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
  // To the nearest integer, for magnitudes below 2^22: adding 1.5 · 2^23 leaves no bit for a fraction.
  static Vec round(Vec a) { return {(a.v + 12582912.0f) - 12582912.0f}; }
  // 2^a for integral a in [-126, 127].
  static Vec exp2i(Vec a) { return from((__builtin_convertvector(__builtin_convertvector(a.v, Ints), Bits) + 127) << 23); }
  // a · 2^n for integral n in [-126, 127].
  static Vec scale2(Vec a, Vec n) { return a * exp2i(n); }
  // Whether every lane of a is below b's; false if one is NaN.
  static bool all_below(Vec a, Vec b) {
    const Ints below = a.v < b.v;
    return (below[0] & below[1] & below[2] & below[3]) != 0;
  }
  // Lane by lane: a < b ? x : y.
  static Vec if_below(Vec a, Vec b, Vec x, Vec y) { return select(a.v < b.v, x, y); }
  float sum() const { return (v[0] + v[2]) + (v[1] + v[3]); }
  float hmax() const {
    const float a = v[0] > v[2] ? v[0] : v[2], b = v[1] > v[3] ? v[1] : v[3];
    return a > b ? a : b;
  }

 private:
  static Bits wide(const uint16_t* p) {
    Shorts s;
    std::memcpy(&s, p, sizeof s);
    return __builtin_convertvector(s, Bits);
  }
  static Vec from(Bits bits) {
    Vec r;
    std::memcpy(&r.v, &bits, sizeof bits);
    return r;
  }
  static Bits bits_of(Floats f) {
    Bits b;
    std::memcpy(&b, &f, sizeof f);
    return b;
  }
  static Vec select(Ints mask, Vec x, Vec y) {
    Bits m;
    std::memcpy(&m, &mask, sizeof m);
    return from((bits_of(x.v) & m) | (bits_of(y.v) & ~m));
  }
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
  const Vec a = Vec::load(rows[0]), b = Vec::load(rows[1]), c = Vec::load(rows[2]), d = Vec::load(rows[3]);
  for (int i = 0; i < 4; i++) Vec{Vec::Floats{a.v[i], b.v[i], c.v[i], d.v[i]}}.store(to + i * stride);
}

}  // namespace lorikeet::LORIKEET_ISA
