// Products of bytes and of bfloat16 pairs in ymm registers: bytes with VPDPBUSD (AVX-VNNI) where the file is compiled for it.
#pragma once
#include "linear_round.h"

namespace lorikeet::LORIKEET_ISA {

#if defined(__AVXVNNI__)
// sums += Σ of four products of an unsigned by a signed byte: exact.
struct Bytes {
  static constexpr int kUnits = 1;  // words that a row's step of four inputs takes: four bytes
  static constexpr int kRows = 3;
  using Weights = __m256i;
  using Inputs = __m256i;
  using Sums = __m256i;

  static void put(const int32_t* four, uint32_t* to, int64_t) {
    *to = static_cast<uint32_t>((four[0] & 255) | (four[1] & 255) << 8 | (four[2] & 255) << 16) | static_cast<uint32_t>(four[3]) << 24;
  }
  static Weights load(const uint8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static void load_halves(const uint8_t* from, Weights& low, Weights& high) {
    const __m256i both = load(from), mask = _mm256_set1_epi8(15);
    low = _mm256_and_si256(both, mask);
    high = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
  }
  static Inputs spread(const uint32_t* word, int64_t) { return _mm256_set1_epi32(static_cast<int32_t>(*word)); }
  static Sums dot(Sums sums, Weights w, Inputs x) { return _mm256_dpbusd_avx_epi32(sums, w, x); }
#else
// Bytes widened to 16 bits, two products at a time: VPMADDUBSW would saturate.
struct Bytes {
  static constexpr int kUnits = 2;  // inputs 0 and 2 of a step, then 1 and 3, in 16 bits each
  static constexpr int kRows = 2;
  struct Weights {
    __m256i even, odd;
  };
  using Inputs = Weights;
  using Sums = __m256i;

  static void put(const int32_t* four, uint32_t* to, int64_t n) {
    to[0] = static_cast<uint32_t>(four[0] & 0xffff) | static_cast<uint32_t>(four[2]) << 16;
    to[n] = static_cast<uint32_t>(four[1] & 0xffff) | static_cast<uint32_t>(four[3]) << 16;
  }
  static Weights widened(__m256i bytes) { return {_mm256_and_si256(bytes, _mm256_set1_epi16(255)), _mm256_srli_epi16(bytes, 8)}; }
  static Weights load(const uint8_t* from) { return widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))); }
  static void load_halves(const uint8_t* from, Weights& low, Weights& high) {
    const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)), mask = _mm256_set1_epi8(15);
    low = widened(_mm256_and_si256(both, mask));
    high = widened(_mm256_and_si256(_mm256_srli_epi16(both, 4), mask));
  }
  static Inputs spread(const uint32_t* words, int64_t n) {
    return {_mm256_set1_epi32(static_cast<int32_t>(words[0])), _mm256_set1_epi32(static_cast<int32_t>(words[n]))};
  }
  static Sums dot(Sums sums, const Weights& w, const Inputs& x) {
    return _mm256_add_epi32(_mm256_add_epi32(sums, _mm256_madd_epi16(w.even, x.even)), _mm256_madd_epi16(w.odd, x.odd));
  }
#endif
  static float round_and_put(const float* x, uint32_t* to, int64_t n, int32_t& sum) {
    int32_t q[kLinearGroup];
    const float scale = round_group(x, q, sum);
    for (int s = 0; s < 8; s++) put(q + 4 * s, to + s * kUnits * n, n);
    return scale;
  }
  static Sums start(int32_t x) { return _mm256_set1_epi32(x); }
  static Vec floats(Sums sums) { return {_mm256_cvtepi32_ps(sums)}; }
};

struct Pairs {
  static constexpr int kUnits = 2;  // two float32
  struct Weights {
    Vec even, odd;
  };
  using Inputs = Weights;
  static void put(const float* x, uint32_t* to, int64_t n) { put_floats(x, to, n); }
  static Weights load(const uint8_t* from) {
    const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return {{_mm256_castsi256_ps(_mm256_slli_epi32(both, 16))}, {_mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32(-65536)))}};
  }
  static Inputs spread(const uint32_t* words, int64_t n) { return {Vec::set(bits_as<float>(words[0])), Vec::set(bits_as<float>(words[n]))}; }
  static Vec dot(Vec sum, const Weights& w, const Inputs& x) { return Vec::fma(w.odd, x.odd, Vec::fma(w.even, x.even, sum)); }
};

}  // namespace lorikeet::LORIKEET_ISA
