// The few things that kernels need from the machine, behind names of ours, so that the same kernel source also runs on a CPU: without nvcc this header takes
// them from whoever compiles it (test/cuda/without_cuda.h).
#pragma once
#include <cstdint>

#ifndef __CUDACC__
#include "without_cuda.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

namespace lorikeet::cuda {

// 16 bytes, the widest access of a thread.
struct alignas(16) Words {
  uint32_t w[4];
};

struct F16 {
  static __device__ float decode(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
  static __device__ uint16_t encode(float value) { return __half_as_ushort(__float2half_rn(value)); }
};

struct BF16 {
  static __device__ float decode(uint16_t bits) { return __uint_as_float(static_cast<uint32_t>(bits) << 16); }
  static __device__ uint16_t encode(float value) { return __bfloat16_as_ushort(__float2bfloat16_rn(value)); }
};

// Weights: read once by one block, so they need no place in L1. The wider L2 line asks DRAM for the neighbours that come next anyway.
__device__ inline Words load_streaming(const void* p) {
  Words v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.w[0]), "=r"(v.w[1]), "=r"(v.w[2]), "=r"(v.w[3])
               : "l"(p));
  return v;
}

// Constant data that several warps of a block read.
__device__ inline Words load_cached(const void* p) {
  Words v;
  asm volatile("ld.global.nc.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.w[0]), "=r"(v.w[1]), "=r"(v.w[2]), "=r"(v.w[3]) : "l"(p));
  return v;
}

__device__ inline uint32_t read_only(const uint32_t* p) { return __ldg(p); }
__device__ inline uint32_t as_bits(float v) { return __float_as_uint(v); }
__device__ inline float as_float(uint32_t v) { return __uint_as_float(v); }

// The compiler may assume nothing of the value from here on.
__device__ inline void opaque(int32_t& value) { asm volatile("" : "+r"(value)); }

// Data that this or the previous kernel writes.
__device__ inline Words load(const void* p) { return *static_cast<const Words*>(p); }
__device__ inline void store(void* p, const Words& v) { *static_cast<Words*>(p) = v; }

// d [16,8] += a [16,16] b [16,8] on the tensor cores of one warp. Lane l, with g = l/4 and c = l%4, holds
//   a0: (g, 2c..2c+1)  a1: (g+8, 2c..)  a2: (g, 2c+8..)  a3: (g+8, 2c+8..);  b0: (2c..2c+1, g)  b1: (2c+8.., g);
//   d0,d1: (g, 2c..2c+1)  d2,d3: (g+8, 2c..2c+1).        (PTX ISA, mma.m16n8k16)
template <class T>
__device__ inline void mma(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1);
template <>
__device__ inline void mma<F16>(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
template <>
__device__ inline void mma<BF16>(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// The lower halves of two words in one (low's first), or the upper halves.
__device__ inline uint32_t pair_halves(uint32_t low, uint32_t high, bool upper) { return __byte_perm(low, high, upper ? 0x7632 : 0x5410); }

// Asks the L2 cache for `bytes` from `p` on (both multiples of 16) without waiting for them.
__device__ inline void prefetch_l2(const void* p, int32_t bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(p), "r"(bytes));
#else
  for (int32_t at = 0; at < bytes; at += 128) asm volatile("prefetch.global.L2 [%0];" ::"l"(static_cast<const char*>(p) + at));
#endif
}

// Programmatic dependent launch: lets the next kernel start; waits until the previous one has finished and its writes are seen.
// Without the launch attribute, and before compute capability 9.0, both do nothing and the stream's order holds.
__device__ inline void release_next_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
__device__ inline void wait_for_previous_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#else
  asm volatile("" ::: "memory");  // loads behind it stay behind it, as they do with the instruction: elsewhere they took too many registers
#endif
}

// A value of another lane of the warp; all 32 lanes must ask.
__device__ inline uint64_t from_lane(uint64_t v, int lane) { return __shfl_sync(0xffffffffu, static_cast<unsigned long long>(v), lane); }

// Integer atomics, whose results do not depend on the order of the threads.
__device__ inline uint32_t atomic_add(uint32_t* p, uint32_t v) { return atomicAdd(p, v); }
__device__ inline void atomic_add(uint64_t* p, uint64_t v) { atomicAdd(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(v)); }
__device__ inline void atomic_or(uint32_t* p, uint32_t v) { atomicOr(p, v); }
__device__ inline void atomic_max(uint64_t* p, uint64_t v) { atomicMax(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(v)); }
__device__ inline uint32_t atomic_exchange(uint32_t* p, uint32_t v) { return atomicExch(p, v); }

// The device's clock, one for all multiprocessors; it ticks every 32 ns to 1 µs.
__device__ inline uint64_t clock_ns() {
  uint64_t ns;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(ns));
  return ns;
}

// a*b + c rounded once; a*b rounded, never fused with an addition that follows.
__device__ inline float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ inline float product(float a, float b) { return __fmul_rn(a, b); }

struct Grid {
  uint32_t blocks = 1, threads = 128;
  bool overlap = false;
  CUstream_st* stream = nullptr;
};

template <class... P, class... A>
int launch_kernel(void (*kernel)(P...), const Grid& grid, const A&... arguments) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(grid.blocks);
  config.blockDim = dim3(grid.threads);
  config.stream = grid.stream;
  config.attrs = &attribute;
  config.numAttrs = grid.overlap ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...);
}

}  // namespace lorikeet::cuda
#endif
