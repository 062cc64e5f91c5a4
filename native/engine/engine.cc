#include "engine.h"

namespace lorikeet {

void Engine::open_slots(const EngineOptions& options) {
  slots_.emplace(SlotLimits{options.max_sequences, options.block_size, options.max_batch_tokens, options.max_model_len, options.max_logits_rows, block_count(), options.vocab_size, options.added_tokens, options.frames_in_block(), options.lookup});
}

std::weak_ptr<const void> Engine::put_adapter(const AdapterIdentity& id, const PackedAdapter& adapter) {
  if (adapters_hold_.contains(id.index)) throw std::invalid_argument("putAdapter: index " + std::to_string(id.index) + " is taken");
  Held held{{adapter.blocks, adapter.blocks + adapter.block_count}, {adapter.frames, adapter.frames + adapter.frame_count}};
  slots().hold(held);
  std::weak_ptr<const void> reader;
  try {
    reader = bring_in(id, adapter);
  } catch (...) {
    slots().let_go(held);
    throw;
  }
  adapters_hold_[id.index] = std::move(held);
  return reader;
}

void Engine::drop_adapter(int32_t index) {
  const auto found = adapters_hold_.find(index);
  if (found == adapters_hold_.end()) return;
  put_out(index);
  slots().let_go(found->second);
  adapters_hold_.erase(found);
}

StepInput Engine::prepare(const StepBatch& batch) {
  StepInput input = slots().prepare(batch);
  resolve(input);
  return input;
}

}  // namespace lorikeet
