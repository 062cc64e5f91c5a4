// Products of bytes and of bfloat16 pairs in zmm registers: with VPDPBUSD (AVX512-VNNI) and VDPBF16PS (AVX512-BF16) where the file is compiled for them.
#pragma once
#include "linear_round.h"

namespace lorikeet::LORIKEET_ISA {

#if defined(__AVX512VNNI__)
// sums += Σ of four products of an unsigned by a signed byte: exact.
struct Bytes {
  static constexpr int kUnits = 1;  // words that a row's step of four inputs takes: four bytes
  static constexpr int kRows = 6;
  using Weights = __m512i;
  using Inputs = __m512i;
  using Sums = __m512i;

  // A group of 32, already rounded: [0, 16) and [16, 32).
  static void put(__m512i first, __m512i second, uint32_t* to, int64_t n) {
    alignas(16) uint32_t words[8];
    _mm_store_si128(reinterpret_cast<__m128i*>(words), _mm512_cvtepi32_epi8(first));
    _mm_store_si128(reinterpret_cast<__m128i*>(words + 4), _mm512_cvtepi32_epi8(second));
    for (int s = 0; s < 8; s++) to[s * n] = words[s];
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
  static constexpr int kRows = 2;  // with more, GCC 12 keeps sums in memory: half the speed
  struct Weights {
    __m512i even, odd;
  };
  using Inputs = Weights;
  using Sums = __m512i;

  // A group of 32, already rounded: [0, 16) and [16, 32).
  static void put(__m512i first, __m512i second, uint32_t* to, int64_t n) {
    alignas(32) uint32_t words[16];  // pairs 0 1, 2 3, …
    _mm256_store_si256(reinterpret_cast<__m256i*>(words), _mm512_cvtepi32_epi16(first));
    _mm256_store_si256(reinterpret_cast<__m256i*>(words + 8), _mm512_cvtepi32_epi16(second));
    for (int s = 0; s < 8; s++) {
      const uint32_t a = words[2 * s], b = words[2 * s + 1];
      to[2 * s * n] = (a & 0xffff) | b << 16;
      to[(2 * s + 1) * n] = a >> 16 | (b & 0xffff0000u);
    }
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
  // As round_group in linear_round.h, and laid out.
  static float round_and_put(const float* x, uint32_t* to, int64_t n, int32_t& sum) {
    const __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
    const __m512i size = _mm512_set1_epi32(0x7fffffff);
    const int32_t most = _mm512_reduce_max_epi32(_mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(a), size), _mm512_and_si512(_mm512_castps_si512(b), size)));
    const auto [scale, inverse] = group_scale(most);
    const __m512 factor = _mm512_set1_ps(inverse);
    // Of a NaN the conversion makes the least integer, of which a zero factor would leave something.
    const __mmask16 kept = inverse != 0 ? 0xffff : 0;
    const __m512i first = _mm512_maskz_cvtps_epi32(kept, _mm512_mul_ps(a, factor)), second = _mm512_maskz_cvtps_epi32(kept, _mm512_mul_ps(b, factor));
    sum = _mm512_reduce_add_epi32(_mm512_add_epi32(first, second));
    put(first, second, to, n);
    return scale;
  }
  static Sums start(int32_t x) { return _mm512_set1_epi32(x); }
  static Vec floats(Sums sums) { return {_mm512_cvtepi32_ps(sums)}; }
};

#if defined(__AVX512BF16__)
struct Pairs {
  static constexpr int kUnits = 1;  // words that two inputs take: two bfloat16
  using Weights = __m512bh;
  using Inputs = __m512bh;
  // A group of 32 inputs, rounded to nearest even; denormals become zero, as in the product.
  static void put(const float* x, uint32_t* to, int64_t n) {
    alignas(64) uint32_t words[16];
    _mm512_store_si512(words, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x)));
    for (int p = 0; p < 16; p++) to[p * n] = words[p];
  }
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
  static void put(const float* x, uint32_t* to, int64_t n) { put_floats(x, to, n); }
  static Weights load(const uint8_t* from) {
    const __m512i both = _mm512_loadu_si512(from);
    return {{_mm512_castsi512_ps(_mm512_slli_epi32(both, 16))}, {_mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32(-65536)))}};
  }
  static Inputs spread(const uint32_t* words, int64_t n) { return {Vec::set(bits_as<float>(words[0])), Vec::set(bits_as<float>(words[n]))}; }
  static Vec dot(Vec sum, const Weights& w, const Inputs& x) { return Vec::fma(w.odd, x.odd, Vec::fma(w.even, x.even, sum)); }
};
#endif

}  // namespace lorikeet::LORIKEET_ISA
