// The random stream of sampling: one for every device, so that the same logits draw the same token on each.
#pragma once
#include <cstdint>

namespace lorikeet {

// Below this a temperature is 0 (as vLLM's): its inverse would overflow, and the largest logit has all the mass anyway.
constexpr float kLeastTemperature = 1e-5f;

// Uniform in [0, 1) from (seed, position) alone: two rounds of SplitMix64's finaliser (Steele, Lea, Flood 2014).
// Static: each object has its own, compiled for the instruction set that it may use.
static inline double uniform(uint64_t seed, int32_t position) {
  const auto mixed = [](uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  };
  const uint64_t z = mixed(mixed(seed + 0x9e3779b97f4a7c15ull) + 0x9e3779b97f4a7c15ull * (uint64_t(uint32_t(position)) + 1));
  return double(z >> 11) * 0x1p-53;
}

}  // namespace lorikeet
