// Many adapters of one layer in a pool on the device, with random weights that the device writes itself: gigabytes in milliseconds. Rows lie as the
// store packs them (A's, then B's, 64-byte aligned, none across a block), blocks of the pool in a shuffled order. Plain C++ apart from the fill, so
// that the emulator can run it as well.
#pragma once
#include <algorithm>
#include <memory>
#include <numeric>
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/lora.h"
#include "layer.h"
#include "memory.h"

namespace lorikeet::bench {

using test::must;
using test::OnDevice;

// Two halves or bfloat16s of either sign between 2^-9 and 2^-5: no zeros, which run faster than data, and sums that stay finite however often they are
// added to y.
__host__ __device__ inline uint32_t random_pair(uint64_t i, bool half) {
  uint64_t z = (i + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  const auto low = static_cast<uint32_t>(z), high = static_cast<uint32_t>(z >> 32);
  // Sign and mantissa, the smallest exponent, and two random bits added to it.
  return half ? (low & 0x83ff83ffu) + 0x18001800u + (high & 0x0c000c00u) : (low & 0x807f807fu) + 0x3b003b00u + (high & 0x01800180u);
}

#ifdef __CUDACC__
__global__ void fill_random(uint32_t* to, uint64_t words, bool half) {
  for (uint64_t i = blockIdx.x * uint64_t(blockDim.x) + threadIdx.x; i < words; i += uint64_t(gridDim.x) * blockDim.x) to[i] = random_pair(i, half);
}
inline void randomize(void* to, size_t bytes, DType type) {
  fill_random<<<2048, 256>>>(static_cast<uint32_t*>(to), bytes / 4, type == DType::f16);
  must(cudaGetLastError(), "fill_random");
}
#else
inline void randomize(void* to, size_t bytes, DType type) {
  for (uint64_t i = 0; i < bytes / 4; i++) static_cast<uint32_t*>(to)[i] = random_pair(i, type == DType::f16);
}
#endif

class Pool {
 public:
  // Adapter i has rank ranks[i % ranks.size()] at all sites of the layer; `dense`: no B, and a row of A for every output (a dense delta).
  Pool(DType type, int32_t adapters, std::vector<int32_t> ranks, bool dense, const std::vector<Group>& groups = layer(), int64_t block_bytes = 2 << 20)
      : type_(type), adapters_(adapters), ranks_(std::move(ranks)), dense_(dense), groups_(groups) {
    const int64_t blocks = adapters * blocks_of(block_bytes);
    // Adapter i's image block b lies in pool block (i * per_adapter + b) * odd mod blocks: every block once, neighbours apart.
    int64_t odd = blocks / 2 | 1;
    while (std::gcd(odd, blocks) != 1) odd += 2;
    bytes_ = std::make_unique<OnDevice<uint8_t>>(static_cast<size_t>(blocks * block_bytes));
    randomize(bytes_->data(), static_cast<size_t>(blocks * block_bytes), type);
    std::vector<uint8_t> all;
    std::vector<size_t> at;
    const int64_t per_adapter = blocks / adapters;
    for (int32_t i = 0; i < adapters; i++) {
      const Image image = image_of(rank(i), block_bytes);
      std::vector<int32_t> place;
      for (int64_t b = 0; b < per_adapter; b++) place.push_back(static_cast<int32_t>((i * per_adapter + b) * odd % blocks));
      const auto tables = cuda::make_adapter_tables(image.rows.data(), static_cast<int64_t>(image.rows.size() / 2), image.entries.data(),
                                                    static_cast<int64_t>(image.entries.size() / 8), place.data(), block_bytes, sites());
      shapes_.push_back(tables.shape);
      at.push_back(all.size());
      all.insert(all.end(), tables.bytes.begin(), tables.bytes.end());
      all.resize((all.size() + 255) / 256 * 256);
    }
    tables_ = std::make_unique<OnDevice<uint8_t>>(all);
    for (const size_t offset : at) addresses_.push_back(tables_->data() + offset);
  }

  int32_t adapters() const { return adapters_; }
  const std::vector<int32_t>& ranks() const { return ranks_; }
  int32_t rank(int32_t adapter) const { return ranks_[adapter % ranks_.size()]; }
  int32_t sites() const { return groups_.back().first_site + static_cast<int32_t>(groups_.back().outs.size()); }
  const cuda::AdapterShape& shape(int32_t adapter) const { return shapes_[adapter]; }
  const uint8_t* tables(int32_t adapter) const { return addresses_[adapter]; }
  // Bytes of one adapter's rows of A and of B for one group, which a step with it must read once.
  int64_t a_bytes(int32_t adapter, const Group& group) const {
    int64_t elements = 0;
    for (const int32_t out : group.outs) elements += int64_t(dense_ ? out : rank(adapter)) * group.in;
    return elements * 2;
  }
  int64_t b_bytes(int32_t adapter, const Group& group) const {
    int64_t elements = 0;
    for (const int32_t out : group.outs) elements += dense_ ? 0 : int64_t(rank(adapter)) * out;
    return elements * 2;
  }
  cuda::AdapterStep step() const {
    cuda::AdapterStep step;
    step.pool = bytes_->data();
    step.ranks_at = cuda::rank_rows_at(sites());
    step.dtype = type_;
    return step;
  }
  // Device memory that `adapters` of this rank take, with room for what does not fill a block.
  static int64_t bytes(int32_t adapters, int32_t rank) {
    int64_t elements = 0;
    for (const Group& group : layer())
      for (const int32_t out : group.outs) elements += int64_t(rank) * (group.in + out);
    return adapters * (elements * 2 + (4 << 20));
  }

 private:
  struct Image {
    std::vector<int32_t> rows, entries;
    int64_t blocks = 0;
  };

  Image image_of(int32_t rank, int64_t block_bytes) const {
    Image image;
    int64_t at = 0;
    const auto put = [&](int32_t rows, int32_t width) {
      const auto first = static_cast<int32_t>(image.rows.size() / 2);
      const int64_t size = (int64_t(width) * 2 + 63) / 64 * 64;
      for (int32_t j = 0; j < rows; j++, at += size) {
        if (at % block_bytes + size > block_bytes) at = (at / block_bytes + 1) * block_bytes;
        image.rows.push_back(static_cast<int32_t>(at / block_bytes));
        image.rows.push_back(static_cast<int32_t>(at % block_bytes));
      }
      return first;
    };
    for (const Group& group : groups_) {
      for (size_t p = 0; p < group.outs.size(); p++) {
        const int32_t rows = dense_ ? group.outs[p] : rank;
        const int32_t a = put(rows, group.in), b = dense_ ? -1 : put(rows, group.outs[p]);
        image.entries.insert(image.entries.end(), {group.first_site + static_cast<int32_t>(p), rows, a, b, -1, -1, -1, -1});
      }
    }
    image.blocks = (at + block_bytes - 1) / block_bytes;
    return image;
  }
  // The same for every adapter: that of the largest rank.
  int64_t blocks_of(int64_t block_bytes) const {
    int64_t most = 0;
    for (const int32_t rank : ranks_) most = std::max(most, image_of(rank, block_bytes).blocks);
    return most;
  }

  DType type_;
  int32_t adapters_;
  std::vector<int32_t> ranks_;
  bool dense_;
  std::vector<Group> groups_;
  std::unique_ptr<OnDevice<uint8_t>> bytes_, tables_;
  std::vector<const uint8_t*> addresses_;
  std::vector<cuda::AdapterShape> shapes_;
};

}  // namespace lorikeet::bench
