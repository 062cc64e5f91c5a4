// Selection without sorting, by one block: of weighted items in any order, the smallest key at which the weights of all items up to it reach a goal.
// With weight 1 that is the n-th smallest; with masses and descending probabilities the nucleus' edge; with masses and ids the token of a draw.
// Keys are looked at 11 bits at a time from the top, a histogram of weights each time. Integers throughout, so the items' order cannot show.
#pragma once
#include "sampling.cuh"

namespace lorikeet::cuda {

constexpr int kSelectThreads = 512;
constexpr int kDigitBits = 11;
constexpr int kDigits = 1 << kDigitBits;

struct SelectMemory {
  uint32_t low[kDigits], high[kDigits];
  FindMemory find;
};

struct Item {
  uint32_t key;
  uint64_t weight;  // 0: not among them
};

struct Selected {
  uint32_t key = 0;
  uint64_t before = 0;  // what items of smaller keys weigh together
};

// `item(i)` for i < count; keys have `bits` bits. The goal is at least 1 and at most the total weight.
template <class F>
__device__ Selected select(SelectMemory& memory, int32_t count, int bits, uint64_t goal, F item) {
  Selected selected;
  for (int left = bits; left > 0;) {
    const int width = left < kDigitBits ? left : kDigitBits;
    for (auto digit = static_cast<int32_t>(threadIdx.x); digit < kDigits; digit += kSelectThreads) memory.low[digit] = memory.high[digit] = 0;
    __syncthreads();
#pragma unroll 4
    for (auto i = static_cast<int32_t>(threadIdx.x); i < count; i += kSelectThreads) {
      const Item it = item(i);
      if (it.weight == 0 || (left < bits && it.key >> left != selected.key)) continue;
      const uint32_t digit = it.key >> (left - width) & ((1u << width) - 1);
      add_wide(&memory.low[digit], &memory.high[digit], it.weight);
    }
    __syncthreads();
    constexpr int kOwn = kDigits / kSelectThreads;
    uint64_t sums[kOwn];
#pragma unroll
    for (int i = 0; i < kOwn; i++) {
      const int digit = static_cast<int>(threadIdx.x) * kOwn + i;
      sums[i] = wide(memory.low[digit], memory.high[digit]);
    }
    const Found found = find<kSelectThreads>(sums, selected.before, goal, memory.find);
    selected = {selected.key << width | found.at, found.before};
    left -= width;
  }
  return selected;
}

}  // namespace lorikeet::cuda
