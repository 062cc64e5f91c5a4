// A machine for checking CUDA kernels without one: native/kernels/cuda/*.cu compile as C++ with this in place of the CUDA toolkit. Every thread of a
// block is a fiber; barriers and tensor-core instructions make them wait for each other as the hardware would, in an order of threads that the test
// chooses. A missing barrier then shows as a result that changes with the order, a lane that left a warp as a deadlock, an index out of range under
// AddressSanitizer. What it cannot show: speed, the memory model between blocks, and how the hardware rounds inside one instruction.
#pragma once
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <utility>

#define __global__
#define __host__
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
inline void opaque(int32_t&) {}
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

// As the hardware converts: to the nearest, ties to even; every NaN becomes 0x7fff.
struct F16 {
  static float decode(uint16_t bits) {
    const uint32_t sign = (bits & 0x8000u) << 16, magnitude = (bits & 0x7fffu) << 13;
    if (magnitude >= 0x0f800000u) return as_float(sign | magnitude | 0x7f800000u);  // infinity, NaN
    return as_float(as_bits(as_float(magnitude) * 0x1p112f) | sign);
  }
  static uint16_t encode(float value) {
    const auto sign = static_cast<uint16_t>(as_bits(value) >> 16 & 0x8000u);
    uint32_t magnitude = as_bits(value) & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return 0x7fff;
    if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // 65520 and more
    // Subnormals: next to 1/2 a float's last place is that of the smallest half.
    if (magnitude < 0x38800000u) return sign | static_cast<uint16_t>(as_bits(as_float(magnitude) + 0.5f) - 0x3f000000u);
    magnitude += 0xfffu + (magnitude >> 13 & 1) - (112u << 23);
    return sign | static_cast<uint16_t>(magnitude >> 13);
  }
};
struct BF16 {
  static float decode(uint16_t bits) { return as_float(static_cast<uint32_t>(bits) << 16); }
  static uint16_t encode(float value) {
    const uint32_t bits = as_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
  }
};

inline uint32_t pair_halves(uint32_t low, uint32_t high, bool upper) {
  return upper ? low >> 16 | (high & 0xffff0000u) : (low & 0xffffu) | high << 16;
}
// Reads what is asked for, so that AddressSanitizer sees a request past the end of the pool; sizes and alignment as the hardware wants them.
inline void prefetch_l2(const void* p, int32_t bytes) {
  if (reinterpret_cast<uintptr_t>(p) % 16 || bytes <= 0 || bytes % 16) __builtin_trap();
  for (int32_t at = 0; at < bytes; at += 16) static_cast<void>(*(static_cast<const volatile char*>(p) + at));
}
inline void release_next_kernel() {}
inline void wait_for_previous_kernel() {}

// Hands every lane of the calling warp the six operands of all 32 lanes; valid until the lane's next exchange or mma.
using WarpOperands = const uint32_t (*)[6];
WarpOperands exchange(const uint32_t (&mine)[6]);

// What one lane brings to mma, and where its part of the sum lies.
struct MmaLane {
  uint32_t a[4], b[2];
  float* d;
};
// Gathers the calling warp's lanes; the last to come runs `all` for the whole warp.
void gather(const MmaLane& mine, void (*all)(const MmaLane (&lanes)[32]));

// The layouts of device.cuh's mma, summed in order of k.
template <class T>
void multiply_lanes(const MmaLane (&lanes)[32]) {
  float a[16][16], b[16][8], d[16][8];  // a: [k][m]
  for (int lane = 0; lane < 32; lane++) {
    const int g = lane / 4, c = lane % 4;
    for (int upper = 0; upper < 2; upper++) {
      for (int i = 0; i < 4; i++) a[2 * c + upper + i / 2 * 8][g + i % 2 * 8] = T::decode(static_cast<uint16_t>(lanes[lane].a[i] >> 16 * upper));
      for (int i = 0; i < 2; i++) b[2 * c + upper + i * 8][g] = T::decode(static_cast<uint16_t>(lanes[lane].b[i] >> 16 * upper));
    }
    for (int i = 0; i < 4; i++) d[g + i / 2 * 8][2 * c + i % 2] = lanes[lane].d[i];
  }
  for (int k = 0; k < 16; k++)
    for (int m = 0; m < 16; m++)
      for (int n = 0; n < 8; n++) d[m][n] += a[k][m] * b[k][n];
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 4; i++) lanes[lane].d[i] = d[lane / 4 + i / 2 * 8][2 * (lane % 4) + i % 2];
}

template <class T>
void mma(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  gather({{a0, a1, a2, a3}, {b0, b1}, d}, multiply_lanes<T>);
}

inline uint64_t from_lane(uint64_t v, int lane) {
  const uint32_t* word = exchange({static_cast<uint32_t>(v), static_cast<uint32_t>(v >> 32), 0, 0, 0, 0})[lane];
  return static_cast<uint64_t>(word[1]) << 32 | word[0];
}

// Fibers give way only at barriers and exchanges, so that plain accesses are atomic.
inline uint32_t atomic_add(uint32_t* p, uint32_t v) { return (*p += v) - v; }
inline void atomic_add(uint64_t* p, uint64_t v) { *p += v; }
inline void atomic_or(uint32_t* p, uint32_t v) { *p |= v; }
inline void atomic_max(uint64_t* p, uint64_t v) { *p = std::max(*p, v); }
inline uint32_t atomic_exchange(uint32_t* p, uint32_t v) { return std::exchange(*p, v); }

inline uint64_t clock_ns() { return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1); }

float fused(float a, float b, float c);
float product(float a, float b);

struct Grid {
  uint32_t blocks = 1, threads = 128;
  bool overlap = false;
  struct CUstream_st* stream = nullptr;
};

// Runs every block, one grid at a time whichever thread of the process asks; threads in the order that `emulated_order` says: 0 ascending, 1 descending, more: shuffled by that seed.
extern uint32_t emulated_order;
void run_grid(const Grid& grid, const std::function<void()>& thread);

// Set by who emulates a device around the kernels (emulated/): called before each grid, on its stream; and with every value that the host gives to one.
extern void (*before_grid)(struct CUstream_st* stream);
extern void (*host_value)(const char* what, const void* data, size_t bytes);
template <class T>
void tell(const char* what, T value) {
#if __has_builtin(__builtin_clear_padding)
  __builtin_clear_padding(&value);
#endif
  host_value(what, &value, sizeof value);
}

template <class... P, class... A>
int launch_kernel(void (*kernel)(P...), const Grid& grid, const A&... arguments) {
  if (host_value) {
    tell("a kernel", kernel);
    tell("its grid", std::pair(grid.blocks, grid.threads));
    (tell("an argument of the kernel", static_cast<P>(arguments)), ...);
  }
  run_grid(grid, [&] { kernel(static_cast<P>(arguments)...); });
  return 0;
}

}  // namespace lorikeet::cuda
