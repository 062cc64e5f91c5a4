// How kernels find an adapter's rows, and read rows and activations eight elements at a time.
#pragma once
#include <cstring>
#include "device.cuh"
#include "lora.h"

namespace lorikeet::cuda {

// Items of a plan do not change while a kernel runs; 16 bytes a read.
template <class Item>
__device__ inline Item read_plan(const Item* from) {
  static_assert(sizeof(Item) % sizeof(Words) == 0);
  Words words[sizeof(Item) / sizeof(Words)];
#pragma unroll
  for (size_t i = 0; i < sizeof(Item) / sizeof(Words); i++) words[i] = load_cached(reinterpret_cast<const Words*>(from) + i);
  Item item;
  memcpy(&item, words, sizeof item);
  return item;
}

__device__ inline const uint16_t* row_at(const AdapterStep& step, uint32_t unit) {
  return reinterpret_cast<const uint16_t*>(step.pool + static_cast<uint64_t>(unit) * kRowUnit);
}

// Rank block 0 of one adapter at one site; the others follow. `rank_blocks`: the adapter's, at least 1.
__device__ inline const RankRows* rank_rows(const AdapterStep& step, const uint8_t* tables, int32_t rank_blocks, int32_t site) {
  return reinterpret_cast<const RankRows*>(tables + step.ranks_at) + static_cast<int64_t>(site) * rank_blocks;
}

// One adapter at one site. Absent ones have rank 0 and no factor.
struct SiteRows {
  DeviceSite site;
  const uint32_t* rows;
  const uint8_t* pool;

  __device__ const uint16_t* row(int32_t place) const {
    return reinterpret_cast<const uint16_t*>(pool + static_cast<uint64_t>(read_only(rows + place)) * kRowUnit);
  }
  __device__ const float* floats(int32_t place) const { return place < 0 ? nullptr : reinterpret_cast<const float*>(row(place)); }
  __device__ const int32_t* integers(int32_t place) const { return place < 0 ? nullptr : reinterpret_cast<const int32_t*>(row(place)); }
};

__device__ inline SiteRows find_site(const AdapterStep& step, const uint8_t* tables, int32_t site) {
  return {read_plan(reinterpret_cast<const DeviceSite*>(tables) + site), reinterpret_cast<const uint32_t*>(tables + step.ranks_at), step.pool};
}

// The parts of one row of h for one product, `parts` × kRankBlock floats, one after the other so that the expand sums them from one address.
__device__ inline float* h_at(const LoraOp& op, int32_t product, int32_t row, int32_t parts) {
  return op.h + (static_cast<int64_t>(product) * op.h_rows + row) * parts * kRankBlock;
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

// Before the first thing that another kernel wrote or reads, and before a thread ends: a kernel started early may not be over before the one it started
// on, since the kernel after it relies on both having ended.
__device__ inline void wait_once(bool& waited) {
  if (!waited) wait_for_previous_kernel();
  waited = true;
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
