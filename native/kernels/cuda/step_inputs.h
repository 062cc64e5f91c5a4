// The token ids of a step, and where their keys and values go, from what lies on the device: the host need not know a token that is still being sampled.
// Raw device pointers and a stream; nothing allocates or synchronizes.
#pragma once
#include <cstdint>

struct CUstream_st;

namespace lorikeet::cuda {

// Semantics: for the i-th token of sequence b, at position p = past[b] + i and place t = cumulative[b] + i of the step:
//            input_ids[t] = histories[b][p]; slot_mapping[t] = block_table[b][p / block_size] · block_size + p % block_size.
//            Of a sequence without a history, which only pads: 0 and −1.
// Shape: histories, past [sequences]; cumulative [sequences + 1]; block_table [sequences, columns]; input_ids, slot_mapping [tokens], the last of cumulative.
struct StepInputs {
  const int32_t* const* histories = nullptr;
  const int32_t* cumulative = nullptr;
  const int32_t* past = nullptr;
  const int32_t* block_table = nullptr;
  int32_t sequences = 0, columns = 0, block_size = 0, tokens = 0;
  int32_t* input_ids = nullptr;
  int32_t* slot_mapping = nullptr;
};

// Returns a cudaError_t (0 = launched).
int fill_step_inputs(const StepInputs& inputs, CUstream_st* stream);

}  // namespace lorikeet::cuda
