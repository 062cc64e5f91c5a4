// A step's token ids, block table and KV slots, from what lies on the device: the host sends what changed, and need not know a token that is still being
// sampled. Raw device pointers and a stream; nothing allocates or synchronizes.
#pragma once
#include <cstdint>

struct CUstream_st;

namespace lorikeet::cuda {

// What every slot of the batch keeps: its tokens, and the places of its block table.
struct SlotState {
  int32_t* histories = nullptr;  // [slots, history_stride]
  int32_t* tables = nullptr;     // [slots, table_stride]
  int64_t history_stride = 0, table_stride = 0;
};

// Place `place` of a slot's block table. Field order as StepBlock in native/step/step.h.
struct TableChange {
  int32_t slot, place, block;
};

// Semantics: tables[slot][place] = block of each change. Shape: changes [count], each place once.
int change_tables(const SlotState& state, const TableChange* changes, int32_t count, CUstream_st* stream);

// Token `position` of a slot's sequence. Field order as DraftedToken in native/step/step.h.
struct TokenChange {
  int32_t slot, position, token;
};

// Semantics: histories[slot][position] = token of each change. Shape: changes [count], each position once.
int change_tokens(const SlotState& state, const TokenChange* changes, int32_t count, CUstream_st* stream);

// Semantics: for the i-th token of sequence b, in slot s = slots[b], at position p = past[b] + i and place t = cumulative[b] + i of the step, with blocks of
//            n tokens, each `views` cache views:
//            input_ids[t] = histories[s][p]; slot_mapping[t] = tables[s][p / n] · views · n + p % n;
//            block_table[b][c] = tables[s][c] · views up to the block of its last token, 0 behind it.
//            A sequence that only pads has slot −1: 0 in its tokens and blocks, −1 in slot_mapping.
// Shape: slots, past [sequences]; cumulative [sequences + 1]; block_table [sequences, columns]; input_ids, slot_mapping [tokens], the last of cumulative.
struct StepInputs {
  SlotState state;
  const int32_t* slots = nullptr;
  const int32_t* cumulative = nullptr;
  const int32_t* past = nullptr;
  int32_t sequences = 0, columns = 0, tokens = 0, block_size = 0, views = 0;
  int32_t* input_ids = nullptr;
  int32_t* slot_mapping = nullptr;
  int32_t* block_table = nullptr;
};

// Both return a cudaError_t (0 = launched).
int fill_step_inputs(const StepInputs& inputs, CUstream_st* stream);

}  // namespace lorikeet::cuda
