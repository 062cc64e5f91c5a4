// Products of bytes and of bfloat16 pairs in zmm registers: with VPDPBUSD (AVX512-VNNI) and VDPBF16PS (AVX512-BF16) where the file is compiled for them.
#pragma once
#include "../../numeric/half.h"

namespace lorikeet::LORIKEET_ISA {

#if defined(__AVX512VNNI__)
// sums += Σ of four products of an unsigned by a signed byte: exact.
struct Bytes {
  static constexpr int kUnits = 1;  // words that a row's step of four inputs takes: four bytes
  static constexpr int kRows = 7;
  using Weights = __m512i;
  using Inputs = __m512i;
  using Sums = __m512i;

  static void put(const int32_t* four, uint32_t* to, int64_t) {
    *to = static_cast<uint32_t>((four[0] & 255) | (four[1] & 255) << 8 | (four[2] & 255) << 16) | static_cast<uint32_t>(four[3]) << 24;
  }
  static Weights load(const uint8_t* from) { return _mm512_loadu_si512(from); }
  static void load_halves(const uint8_t* from, Weights& low, Weights& high) {
    const __m512i both = _mm512_loadu_si512(from), mask = _mm512_set1_epi8(15);
    low = _mm512_and_si512(both, mask);
    high = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
  }
  static Inputs spread(const uint32_t* word, int64_t) { return _mm512_set1_epi32(static_cast<int32_t>(*word)); }
  static Sums dot(Sums sums, Weights w, Inputs x) { return _mm512_dpbusd_epi32(sums, w, x); }
#else
// Bytes widened to 16 bits, two products at a time: VPMADDUBSW would saturate.
struct Bytes {
  static constexpr int kUnits = 2;  // inputs 0 and 2 of a step, then 1 and 3, in 16 bits each
  static constexpr int kRows = 5;
  struct Weights {
    __m512i even, odd;
  };
  using Inputs = Weights;
  using Sums = __m512i;

  static void put(const int32_t* four, uint32_t* to, int64_t n) {
    to[0] = static_cast<uint32_t>(four[0] & 0xffff) | static_cast<uint32_t>(four[2]) << 16;
    to[n] = static_cast<uint32_t>(four[1] & 0xffff) | static_cast<uint32_t>(four[3]) << 16;
  }
  static Weights widened(__m512i bytes) { return {_mm512_and_si512(bytes, _mm512_set1_epi16(255)), _mm512_srli_epi16(bytes, 8)}; }
  static Weights load(const uint8_t* from) { return widened(_mm512_loadu_si512(from)); }
  static void load_halves(const uint8_t* from, Weights& low, Weights& high) {
    const __m512i both = _mm512_loadu_si512(from), mask = _mm512_set1_epi8(15);
    low = widened(_mm512_and_si512(both, mask));
    high = widened(_mm512_and_si512(_mm512_srli_epi16(both, 4), mask));
  }
  static Inputs spread(const uint32_t* words, int64_t n) {
    return {_mm512_set1_epi32(static_cast<int32_t>(words[0])), _mm512_set1_epi32(static_cast<int32_t>(words[n]))};
  }
  static Sums dot(Sums sums, const Weights& w, const Inputs& x) {
    return _mm512_add_epi32(_mm512_add_epi32(sums, _mm512_madd_epi16(w.even, x.even)), _mm512_madd_epi16(w.odd, x.odd));
  }
#endif
  static Sums start(int32_t x) { return _mm512_set1_epi32(x); }
  static Vec floats(Sums sums) { return {_mm512_cvtepi32_ps(sums)}; }
};

#if defined(__AVX512BF16__)
struct Pairs {
  static constexpr int kUnits = 1;  // words that two inputs take: two bfloat16
  using Weights = __m512bh;
  using Inputs = __m512bh;
  static void put(const float* two, uint32_t* to, int64_t) { *to = to_bfloat(two[0]) | static_cast<uint32_t>(to_bfloat(two[1])) << 16; }
  static Weights load(const uint8_t* from) { return (__m512bh)_mm512_loadu_si512(from); }
  static Inputs spread(const uint32_t* word, int64_t) { return (__m512bh)_mm512_set1_epi32(static_cast<int32_t>(*word)); }
  static Vec dot(Vec sum, Weights w, Inputs x) { return {_mm512_dpbf16_ps(sum.v, w, x)}; }
};
#else
struct Pairs {
  static constexpr int kUnits = 2;  // two float32
  struct Weights {
    Vec even, odd;
  };
  using Inputs = Weights;
  static void put(const float* two, uint32_t* to, int64_t n) {
    to[0] = bits_as<uint32_t>(two[0]);
    to[n] = bits_as<uint32_t>(two[1]);
  }
  static Weights load(const uint8_t* from) {
    const __m512i both = _mm512_loadu_si512(from);
    return {{_mm512_castsi512_ps(_mm512_slli_epi32(both, 16))}, {_mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32(-65536)))}};
  }
  static Inputs spread(const uint32_t* words, int64_t n) { return {Vec::set(bits_as<float>(words[0])), Vec::set(bits_as<float>(words[n]))}; }
  static Vec dot(Vec sum, const Weights& w, const Inputs& x) { return Vec::fma(w.odd, x.odd, Vec::fma(w.even, x.even, sum)); }
};
#endif

}  // namespace lorikeet::LORIKEET_ISA
