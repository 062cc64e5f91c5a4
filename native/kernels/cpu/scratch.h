// Running tasks, and single 16-bit elements as floats.
#pragma once
#include <cstdint>
#include <cstring>
#include "../kernels.h"
#include "scratch_memory.h"

namespace lorikeet::LORIKEET_ISA {

inline void parallel_for(const Parallel& parallel, void (*task)(void*, size_t), size_t count, void* data) {
  if (count == 1 || parallel.threads <= 1)
    for (size_t i = 0; i < count; i++) task(data, i);
  else if (count) parallel.run(parallel.context, task, count, data);
}

inline float bf16_at(uint16_t b) {
  const uint32_t bits = uint32_t(b) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

// Exact for every half, subnormals included: rebias by a multiplication with 2^112.
inline float f16_at(uint16_t h) {
  const uint32_t magnitude = uint32_t(h & 0x7fffu) << 13, sign = uint32_t(h & 0x8000u) << 16;
  uint32_t bits;
  if ((h & 0x7c00u) == 0x7c00u) {
    bits = 0x7f800000u | (magnitude & 0x007fffffu);  // infinity, NaN
  } else {
    float f;
    std::memcpy(&f, &magnitude, 4);
    f *= 0x1p112f;
    std::memcpy(&bits, &f, 4);
  }
  bits |= sign;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

}  // namespace lorikeet::LORIKEET_ISA
