// The little that the kernels' tests need: checks that count, a seeded generator, and thread pools of any size.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>
#include "kernels/kernels.h"

namespace lorikeet::test {

struct Case {
  const char* name;
  void (*run)(const Kernels&);
};
std::vector<Case>& cases();
struct Register {
  Register(const char* name, void (*run)(const Kernels&)) { cases().push_back({name, run}); }
};
#define KERNEL_TEST(name)                                             \
  static void name(const lorikeet::Kernels& kernels);                 \
  static lorikeet::test::Register registered_##name(#name, name);     \
  static void name([[maybe_unused]] const lorikeet::Kernels& kernels)

// Counts a check; prints the first few that fail.
void check(bool ok, const std::string& what);
inline void check_near(double got, double want, double tolerance, const std::string& what) {
  check(std::abs(got - want) <= tolerance, what + ": got " + std::to_string(got) + ", want " + std::to_string(want));
}

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  int32_t below(int32_t n) { return static_cast<int32_t>(next() % static_cast<uint64_t>(n)); }
  float uniform() { return static_cast<float>(next() >> 40) * 0x1p-24f * 2 - 1; }  // [-1, 1)
  std::vector<float> floats(size_t n) {
    std::vector<float> v(n);
    for (float& x : v) x = uniform();
    return v;
  }

 private:
  uint64_t state_;
};

// Tasks on `threads` real threads, taken as they come.
inline Parallel on_threads(int threads) {
  Parallel p;
  p.threads = threads;
  p.context = reinterpret_cast<void*>(static_cast<intptr_t>(threads));
  p.run = [](void* context, void (*task)(void*, size_t), size_t count, void* data) {
    std::atomic<size_t> next{0};
    std::vector<std::thread> workers;
    for (intptr_t i = 0; i < reinterpret_cast<intptr_t>(context); i++)
      workers.emplace_back([&] {
        for (size_t t; (t = next++) < count;) task(data, t);
      });
    for (auto& worker : workers) worker.join();
  };
  return p;
}

// A float as the pool stores it, and back.
inline uint16_t to_half(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const float magnitude = std::abs(f);
  if (magnitude >= 65520) return sign | 0x7c00u;
  if (magnitude == 0) return sign;
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  exponent = std::max(exponent - 1, -14);  // subnormals share the smallest normal's step
  const auto steps = static_cast<uint32_t>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
  // A mantissa that rounds up to the next power carries into the exponent by itself.
  return sign | static_cast<uint16_t>((exponent + 14) * 1024 + static_cast<int>(steps));
}

inline float from_half(uint16_t h) {
  const int exponent = (h >> 10) & 31, mantissa = h & 1023;
  const float magnitude = exponent ? std::ldexp(float(1024 + mantissa), exponent - 25) : std::ldexp(float(mantissa), -24);
  return h & 0x8000 ? -magnitude : magnitude;
}
inline uint16_t to_bfloat(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}
inline float from_bfloat(uint16_t b) {
  const uint32_t bits = uint32_t(b) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

// A rank row in the pool's type, exactly as long as its elements (so that a read past its end is seen by the sanitizer), and its values as doubles.
struct StoredRow {
  std::vector<uint8_t> bytes;
  std::vector<double> values;
  float scale = 1;  // of int8: what a unit is worth, as `values` have it
};
StoredRow store_row(const std::vector<float>& from, DType type);

}  // namespace lorikeet::test
