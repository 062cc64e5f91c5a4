// A machine for checking CUDA kernels without one: native/kernels/cuda/*.cu compile as C++ with this in place of the CUDA toolkit. Every thread of a
// block is a fiber; barriers and tensor-core instructions make them wait for each other as the hardware would, in an order of threads that the test
// chooses. A missing barrier then shows as a result that changes with the order, a lane that left a warp as a deadlock, an index out of range under
// AddressSanitizer. What it cannot show: speed, the memory model between blocks, and how the hardware rounds inside one instruction.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __shared__ static
#define __grid_constant__
#define __launch_bounds__(...)

namespace lorikeet::cuda {

struct Index {
  uint32_t x = 0;
};
extern Index threadIdx, blockIdx, gridDim;

void __syncthreads();

using std::max;
using std::min;

struct alignas(16) Words {
  uint32_t w[4];
};

struct F16 {
  static float decode(uint16_t bits);
  static uint16_t encode(float value);
};
struct BF16 {
  static float decode(uint16_t bits);
  static uint16_t encode(float value);
};

inline Words load(const void* p) {
  Words v;
  if (reinterpret_cast<uintptr_t>(p) % 16) __builtin_trap();  // as the hardware's misaligned address
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline Words load_streaming(const void* p) { return load(p); }
inline Words load_cached(const void* p) { return load(p); }
inline void store(void* p, const Words& v) {
  if (reinterpret_cast<uintptr_t>(p) % 16) __builtin_trap();
  std::memcpy(p, &v, sizeof v);
}
inline uint32_t read_only(const uint32_t* p) { return *p; }
inline uint32_t as_bits(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  return bits;
}
inline float as_float(uint32_t bits) {
  float v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
inline uint32_t pair_halves(uint32_t low, uint32_t high, bool upper) {
  return upper ? low >> 16 | (high & 0xffff0000u) : (low & 0xffffu) | high << 16;
}
inline void release_next_kernel() {}
inline void wait_for_previous_kernel() {}

// Hands every lane of the calling warp the six operands of all 32 lanes; valid until the warp's next exchange but one.
using WarpOperands = const uint32_t (*)[6];
WarpOperands exchange(const uint32_t (&mine)[6]);

// The layouts of device.cuh's mma, summed in order of k.
template <class T>
void mma(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  const WarpOperands all = exchange({a0, a1, a2, a3, b0, b1});
  const int lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
  for (int i = 0; i < 4; i++) {
    const int m = g + i / 2 * 8, n = 2 * c + i % 2;
    for (int k = 0; k < 16; k++) {
      const uint32_t a = all[m % 8 * 4 + k % 8 / 2][m / 8 + k / 8 * 2], b = all[n * 4 + k % 8 / 2][4 + k / 8];
      d[i] += T::decode(static_cast<uint16_t>(a >> (k % 2 * 16))) * T::decode(static_cast<uint16_t>(b >> (k % 2 * 16)));
    }
  }
}

struct Grid {
  uint32_t blocks = 1, threads = 128;
  bool overlap = false;
  struct CUstream_st* stream = nullptr;
};

// Runs every block, threads in the order that `emulated_order` says: 0 ascending, 1 descending, more: shuffled by that seed.
extern uint32_t emulated_order;
void run_grid(const Grid& grid, const std::function<void()>& thread);

template <class... P, class... A>
int launch_kernel(void (*kernel)(P...), const Grid& grid, const A&... arguments) {
  run_grid(grid, [&] { kernel(static_cast<P>(arguments)...); });
  return 0;
}

}  // namespace lorikeet::cuda
