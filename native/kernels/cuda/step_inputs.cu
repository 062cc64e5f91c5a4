// One thread for each number that is written. A token's thread finds its sequence among the starts, which lie in the cache.
#include "step_inputs.h"
// After the interface, which declares the stream's type.
#include "device.cuh"

namespace lorikeet::cuda {
namespace {

constexpr int kThreads = 256;

Grid grid_of(int64_t items, CUstream_st* stream) { return {static_cast<uint32_t>((items + kThreads - 1) / kThreads), kThreads, false, stream}; }

// The last sequence that starts at `t` or before it; none is empty.
__device__ int32_t sequence_of(const StepInputs& inputs, int32_t t) {
  int32_t low = 0, high = inputs.sequences;
  while (high - low > 1) {
    const int32_t middle = (low + high) / 2;
    (inputs.cumulative[middle] <= t ? low : high) = middle;
  }
  return low;
}

__device__ void fill_token(const StepInputs& inputs, int32_t t) {
  const int32_t b = sequence_of(inputs, t), slot = inputs.slots[b], p = inputs.past[b] + t - inputs.cumulative[b], n = inputs.block_size;
  inputs.input_ids[t] = slot < 0 ? 0 : inputs.state.histories[slot * inputs.state.history_stride + p];
  inputs.slot_mapping[t] = slot < 0 ? -1 : inputs.state.tables[slot * inputs.state.table_stride + p / n] * inputs.views * n + p % n;
}

__device__ void fill_column(const StepInputs& inputs, int32_t b, int32_t column) {
  const int32_t slot = inputs.slots[b], length = inputs.past[b] + inputs.cumulative[b + 1] - inputs.cumulative[b];
  int32_t& to = inputs.block_table[static_cast<int64_t>(b) * inputs.columns + column];
  to = slot >= 0 && column * inputs.block_size < length ? inputs.state.tables[slot * inputs.state.table_stride + column] * inputs.views : 0;
}

__global__ void __launch_bounds__(kThreads) fill_inputs(const __grid_constant__ StepInputs inputs) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at < inputs.tokens) fill_token(inputs, static_cast<int32_t>(at));
  if (at < static_cast<int64_t>(inputs.sequences) * inputs.columns)
    fill_column(inputs, static_cast<int32_t>(at / inputs.columns), static_cast<int32_t>(at % inputs.columns));
}

__global__ void __launch_bounds__(kThreads) note_blocks(const __grid_constant__ SlotState state, const TableChange* changes, int32_t count) {
  const auto i = static_cast<int32_t>(blockIdx.x * kThreads + threadIdx.x);
  if (i < count) state.tables[changes[i].slot * state.table_stride + changes[i].place] = changes[i].block;
}

__global__ void __launch_bounds__(kThreads) note_tokens(const __grid_constant__ SlotState state, const TokenChange* changes, int32_t count) {
  const auto i = static_cast<int32_t>(blockIdx.x * kThreads + threadIdx.x);
  if (i < count) state.histories[changes[i].slot * state.history_stride + changes[i].position] = changes[i].token;
}

}  // namespace

int change_tables(const SlotState& state, const TableChange* changes, int32_t count, CUstream_st* stream) {
  return launch_kernel(note_blocks, grid_of(count, stream), state, changes, count);
}

int change_tokens(const SlotState& state, const TokenChange* changes, int32_t count, CUstream_st* stream) {
  return launch_kernel(note_tokens, grid_of(count, stream), state, changes, count);
}

int fill_step_inputs(const StepInputs& inputs, CUstream_st* stream) {
  const int64_t columns = static_cast<int64_t>(inputs.sequences) * inputs.columns;
  return launch_kernel(fill_inputs, grid_of(columns > inputs.tokens ? columns : inputs.tokens, stream), inputs);
}

}  // namespace lorikeet::cuda
