// A step's inputs on the device, in one buffer: where each lies, what of it the host writes and one copy brings, and what is made there from the slots.
#pragma once
#include <vector>
#include "../../kernels/cuda/step_inputs.h"
#include "step_shape.h"

namespace lorikeet::cuda {

// A function of the shape alone, so that a captured graph finds its inputs; but for the changes, which no graph reads.
struct InputLayout {
  explicit InputLayout(const StepShape& shape);

  size_t input_ids, slot_mapping, block_table;  // made there
  size_t uploaded;                              // from here on the host writes them
  size_t slots, cumulative, past, logits_indices, adapters, head, samples;
  size_t changes;  // of block tables: as many as there are; then of the slots' tokens, then the rows to be summed

  size_t drafted(const StepInput& input) const { return changes + sizeof(TableChange) * input.blocks.size(); }
  size_t summed(const StepInput& input) const { return drafted(input) + sizeof(TokenChange) * input.drafted.size(); }
  // Behind them the masks of the step's rows, which no graph reads but through a row's pointer.
  size_t masks(const StepInput& input) const { return (summed(input) + sizeof(RowRange) * input.summed.size() + 255) / 256 * 256; }
  size_t end(const StepInput& input, const std::vector<uint32_t>& words) const { return masks(input) + sizeof(uint32_t) * words.size(); }
};

// The item at `offset` of a buffer.
template <class T>
T* items(uint8_t* base, size_t offset) {
  return reinterpret_cast<T*>(base + offset);
}

// Writes what the host brings but for the adapters' plans, rows of the shape that only pad included. `base` + uploaded is the start of the host's memory.
void write_inputs(const StepInput& input, const std::vector<SampleRow>& rows, const StepShape& shape, const InputLayout& at, uint8_t* base);
// What is made from that, as the kernel takes it, but for block_size and views; `base` is the device's buffer.
StepInputs inputs_at(const StepShape& shape, const InputLayout& at, const SlotState& state, uint8_t* base);

// Brings the slots' block tables and tokens up to date with what was uploaded; `base` as above. Returns a cudaError_t (0 = launched).
int change_slots(const StepInput& input, const InputLayout& at, const SlotState& state, uint8_t* base, CUstream_st* stream);

}  // namespace lorikeet::cuda
