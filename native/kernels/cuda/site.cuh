// How kernels find an adapter's rows, and read rows and activations eight elements at a time.
#pragma once
#include "device.cuh"
#include "lora.h"

namespace lorikeet::cuda {

// One adapter at one site. Absent ones have rank 0 and no factor.
struct SiteRows {
  DeviceSite site;
  const uint32_t* rows;
  const uint8_t* pool;

  __device__ const uint16_t* row(int32_t ordinal) const {
    return reinterpret_cast<const uint16_t*>(pool + static_cast<uint64_t>(read_only(rows + ordinal)) * kRowUnit);
  }
  __device__ const float* floats(int32_t ordinal) const { return ordinal < 0 ? nullptr : reinterpret_cast<const float*>(row(ordinal)); }
  __device__ const int32_t* integers(int32_t ordinal) const { return ordinal < 0 ? nullptr : reinterpret_cast<const int32_t*>(row(ordinal)); }
};

__device__ inline SiteRows find_site(const AdapterStep& step, int32_t adapter, int32_t site) {
  SiteRows found;
  const DeviceAdapter& at = step.adapters[adapter];
  const int32_t* fields = reinterpret_cast<const int32_t*>(at.sites + site);
  const Words first = load_cached(fields), second = load_cached(fields + 4);
  found.site.present = first.w[0];
  found.site.rank = first.w[1];
  found.site.a = first.w[2];
  found.site.b = first.w[3];
  found.site.index = second.w[0];
  found.site.out_scale = second.w[1];
  found.site.bias = second.w[2];
  found.site.in_scale = second.w[3];
  found.rows = at.rows;
  found.pool = step.pool;
  return found;
}

// Who else reads the same: nobody (weights of a decode row), other warps of the block, or a kernel that also writes it (no read-only path).
enum class Reuse { none, block, written };

// Elements [at, at + 8) of a row of `end` elements; zeros past the end. kAligned: the row starts at 16 bytes and `end` and `at` are multiples of 8.
template <bool kAligned, Reuse kReuse>
__device__ inline Words read8(const uint16_t* row, int32_t at, int32_t end) {
  Words v = {};
  if (kAligned) {
    if (at < end)
      v = kReuse == Reuse::none ? load_streaming(row + at) : kReuse == Reuse::block ? load_cached(row + at) : load(row + at);
  } else {
#pragma unroll
    for (int i = 0; i < 8; i++)
      if (at + i < end) v.w[i / 2] |= static_cast<uint32_t>(row[at + i]) << (16 * (i % 2));
  }
  return v;
}

template <bool kAligned>
__device__ inline void write8(uint16_t* row, int32_t at, int32_t end, const Words& v) {
  if (kAligned) {
    if (at < end) store(row + at, v);
  } else {
#pragma unroll
    for (int i = 0; i < 8; i++)
      if (at + i < end) row[at + i] = static_cast<uint16_t>(v.w[i / 2] >> (16 * (i % 2)));
  }
}

// The same for float32 rows (scales, biases); rows in the pool are 64-byte aligned.
template <bool kAligned>
__device__ inline void read8_floats(float (&v)[8], const float* row, int32_t at, int32_t end) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    Words bits = {};
    if (kAligned) {
      if (at < end) bits = load_cached(row + at + 4 * half);
    } else {
#pragma unroll
      for (int i = 0; i < 4; i++)
        if (at + 4 * half + i < end) bits.w[i] = as_bits(row[at + 4 * half + i]);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) v[4 * half + i] = as_float(bits.w[i]);
  }
}

template <class T>
__device__ inline float element(const Words& v, int i) {
  return T::decode(static_cast<uint16_t>(v.w[i / 2] >> (16 * (i % 2))));
}

template <class T>
__device__ inline uint32_t pack(float low, float high) {
  return T::encode(low) | static_cast<uint32_t>(T::encode(high)) << 16;
}

inline uint32_t grid_blocks(int64_t units, const Launch& launch, int per_multiprocessor) {
  const int64_t most = static_cast<int64_t>(launch.multiprocessors) * per_multiprocessor;
  return static_cast<uint32_t>(units < most ? units : most);
}

// Calls f with the type that activations and rank rows have.
template <class F>
int with_type(DType type, F f) {
  return type == DType::f16 ? f(F16{}) : f(BF16{});
}

}  // namespace lorikeet::cuda
