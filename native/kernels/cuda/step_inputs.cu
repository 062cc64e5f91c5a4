// One thread a token; it finds its sequence among the starts, which lie in the cache.
#include "step_inputs.h"
// After the interface, which declares the stream's type.
#include "device.cuh"

namespace lorikeet::cuda {
namespace {

constexpr int kThreads = 256;

// The last sequence that starts at `t` or before it; none is empty.
__device__ int32_t sequence_of(const StepInputs& inputs, int32_t t) {
  int32_t low = 0, high = inputs.sequences;
  while (high - low > 1) {
    const int32_t middle = (low + high) / 2;
    (inputs.cumulative[middle] <= t ? low : high) = middle;
  }
  return low;
}

__global__ void __launch_bounds__(kThreads) fill_tokens(const __grid_constant__ StepInputs inputs) {
  const auto t = static_cast<int32_t>(blockIdx.x * kThreads + threadIdx.x);
  if (t >= inputs.tokens) return;
  const int32_t b = sequence_of(inputs, t), p = inputs.past[b] + t - inputs.cumulative[b];
  const int32_t* history = inputs.histories[b];
  inputs.input_ids[t] = history ? history[p] : 0;
  const int32_t* table = inputs.block_table + static_cast<int64_t>(b) * inputs.columns;
  inputs.slot_mapping[t] = history ? table[p / inputs.block_size] * inputs.block_size + p % inputs.block_size : -1;
}

}  // namespace

int fill_step_inputs(const StepInputs& inputs, CUstream_st* stream) {
  return launch_kernel(fill_tokens, Grid{static_cast<uint32_t>((inputs.tokens + kThreads - 1) / kThreads), kThreads, false, stream}, inputs);
}

}  // namespace lorikeet::cuda
