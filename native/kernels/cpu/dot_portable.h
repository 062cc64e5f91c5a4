// Products of bytes and of bfloat16 pairs with float32 arithmetic, in vectors of GCC and Clang. Bytes are exact: a group's sum is an integer below 2^24.
#pragma once
#include "linear_round.h"

namespace lorikeet::LORIKEET_ISA {

typedef uint32_t Words4 __attribute__((vector_size(16)));

struct Bytes {
  static constexpr int kUnits = 4;  // words that a row's step of four inputs takes: four floats
  static constexpr int kRows = 2;
  struct Weights {
    Vec v[4];
  };
  struct Inputs {
    Vec v[4];
  };
  using Sums = Vec;

  static void put(const int32_t* four, uint32_t* to, int64_t n) {
    for (int i = 0; i < 4; i++) to[i * n] = bits_as<uint32_t>(static_cast<float>(four[i]));
  }
  static float round_and_put(const float* x, uint32_t* to, int64_t n, int32_t& sum) {
    int32_t q[kLinearGroup];
    const float scale = round_group(x, q, sum);
    for (int s = 0; s < 8; s++) put(q + 4 * s, to + s * kUnits * n, n);
    return scale;
  }
  static Sums start(int32_t x) { return Vec::set(static_cast<float>(x)); }
  static Weights load(const uint8_t* from) {
    const Words4 w = words(from);
    return {{byte(w), byte(w >> 8), byte(w >> 16), byte(w >> 24)}};
  }
  static void load_halves(const uint8_t* from, Weights& low, Weights& high) {
    const Words4 w = words(from), l = w & 0x0f0f0f0f, h = w >> 4 & 0x0f0f0f0f;
    low = {{byte(l), byte(l >> 8), byte(l >> 16), byte(l >> 24)}};
    high = {{byte(h), byte(h >> 8), byte(h >> 16), byte(h >> 24)}};
  }
  static Inputs spread(const uint32_t* words, int64_t n) {
    Inputs x;
    for (int i = 0; i < 4; i++) x.v[i] = Vec::set(bits_as<float>(words[i * n]));
    return x;
  }
  static Sums dot(Sums sums, const Weights& w, const Inputs& x) {
    for (int i = 0; i < 4; i++) sums = Vec::fma(w.v[i], x.v[i], sums);
    return sums;
  }
  static Vec floats(Sums sums) { return sums; }

 private:
  static Words4 words(const uint8_t* from) {
    Words4 w;
    std::memcpy(&w, from, sizeof w);
    return w;
  }
  static Vec byte(Words4 w) {
    typedef int32_t Ints __attribute__((vector_size(16)));
    return {__builtin_convertvector(__builtin_convertvector(w & 0xff, Ints), Vec::Floats)};
  }
};

struct Pairs {
  static constexpr int kUnits = 2;
  struct Weights {
    Vec even, odd;
  };
  struct Inputs {
    Vec even, odd;
  };
  static void put(const float* x, uint32_t* to, int64_t n) { put_floats(x, to, n); }
  static Weights load(const uint8_t* from) {
    Words4 w, even, odd;
    std::memcpy(&w, from, sizeof w);
    even = w << 16;
    odd = w & 0xffff0000u;
    Weights r;
    std::memcpy(&r.even.v, &even, sizeof even);
    std::memcpy(&r.odd.v, &odd, sizeof odd);
    return r;
  }
  static Inputs spread(const uint32_t* words, int64_t n) { return {Vec::set(bits_as<float>(words[0])), Vec::set(bits_as<float>(words[n]))}; }
  static Vec dot(Vec sum, const Weights& w, const Inputs& x) { return Vec::fma(w.odd, x.odd, Vec::fma(w.even, x.even, sum)); }
};

}  // namespace lorikeet::LORIKEET_ISA
