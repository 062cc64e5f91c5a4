#include "input_layout.h"
#include <algorithm>
#include <cstring>

namespace lorikeet::cuda {
namespace {

static_assert(sizeof(TableChange) == sizeof(StepBlock) && sizeof(TokenChange) == sizeof(DraftedToken));

size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

template <class T>
void padded(T* to, const std::vector<T>& from, int32_t count, const T& filler) {
  std::fill(std::copy(from.begin(), from.end(), to), to + count, filler);
}

}  // namespace

InputLayout::InputLayout(const StepShape& shape) {
  size_t end = 0;
  auto place = [&](size_t& at, size_t bytes) {
    at = end;
    end += aligned(bytes);
  };
  place(input_ids, sizeof(int32_t) * shape.tokens);
  place(slot_mapping, sizeof(int32_t) * shape.tokens);
  place(block_table, sizeof(int32_t) * shape.sequences * shape.columns);
  uploaded = end;
  place(slots, sizeof(int32_t) * shape.sequences);
  place(cumulative, sizeof(int32_t) * (shape.sequences + 1));
  place(past, sizeof(int32_t) * shape.sequences);
  place(logits_indices, sizeof(int32_t) * shape.logits);
  place(adapters, shape.adapters.tiles ? LoraPlan(shape.adapters.capacity()).bytes() : 0);
  place(head, shape.head.tiles ? LoraPlan(shape.head.capacity()).bytes() : 0);
  place(samples, sizeof(SampleRow) * shape.logits);
  changes = end;
}

// A row that only pads a bucket is a sequence of one token that writes nothing and sees the first block.
void write_inputs(const StepInput& input, const std::vector<SampleRow>& rows, const StepShape& shape, const InputLayout& at, uint8_t* base) {
  const auto batch = static_cast<int32_t>(input.past.size());
  auto* const slots = items<int32_t>(base, at.slots);
  std::fill(slots, slots + shape.sequences, -1);
  for (size_t b = 0; b < input.sequences.size(); b++) slots[b] = input.sequences[b].slot;
  padded(items<int32_t>(base, at.past), input.past, shape.sequences, 0);
  padded(items<SampleRow>(base, at.samples), rows, shape.logits, SampleRow{});
  auto* const cumulative = items<int32_t>(base, at.cumulative);
  std::copy(input.cumulative.begin(), input.cumulative.end(), cumulative);
  for (int32_t b = batch; b < shape.sequences; b++) cumulative[b + 1] = cumulative[b] + 1;
  auto* const indices = items<int32_t>(base, at.logits_indices);
  padded(indices, input.logits_indices, shape.logits, 0);
  for (auto r = static_cast<int32_t>(input.logits_indices.size()); shape.captured && r < shape.logits; r++) indices[r] = r;
  if (!input.blocks.empty()) std::memcpy(base + at.changes, input.blocks.data(), sizeof(TableChange) * input.blocks.size());
  if (!input.drafted.empty()) std::memcpy(base + at.drafted(input), input.drafted.data(), sizeof(TokenChange) * input.drafted.size());
  if (!input.summed.empty()) std::memcpy(base + at.summed(input), input.summed.data(), sizeof(RowRange) * input.summed.size());
}

StepInputs inputs_at(const StepShape& shape, const InputLayout& at, const SlotState& state, uint8_t* base) {
  StepInputs inputs;
  inputs.state = state;
  inputs.slots = items<int32_t>(base, at.slots);
  inputs.cumulative = items<int32_t>(base, at.cumulative);
  inputs.past = items<int32_t>(base, at.past);
  inputs.sequences = shape.sequences;
  inputs.columns = shape.columns;
  inputs.tokens = shape.tokens;
  inputs.input_ids = items<int32_t>(base, at.input_ids);
  inputs.slot_mapping = items<int32_t>(base, at.slot_mapping);
  inputs.block_table = items<int32_t>(base, at.block_table);
  return inputs;
}

int change_slots(const StepInput& input, const InputLayout& at, const SlotState& state, uint8_t* base, CUstream_st* stream) {
  const auto blocks = static_cast<int32_t>(input.blocks.size()), drafted = static_cast<int32_t>(input.drafted.size());
  int error = blocks ? change_tables(state, items<TableChange>(base, at.changes), blocks, stream) : 0;
  if (error == 0 && drafted) error = change_tokens(state, items<TokenChange>(base, at.drafted(input)), drafted, stream);
  return error;
}

}  // namespace lorikeet::cuda
