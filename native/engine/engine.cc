#include "engine.h"

namespace lorikeet {

void Engine::open_slots(const EngineOptions& options) {
  slots_.emplace(SlotLimits{options.max_sequences, options.block_size, options.max_batch_tokens, options.max_model_len, options.max_logits_rows, block_count(), options.vocab_size, options.added_tokens});
}

void Engine::put_adapter(const AdapterIdentity& id, const PackedAdapter& adapter) {
  if (adapter_blocks_.contains(id.index)) throw std::invalid_argument("putAdapter: index " + std::to_string(id.index) + " is taken");
  slots().hold(adapter.blocks, adapter.block_count);
  std::vector<int32_t> blocks(adapter.blocks, adapter.blocks + adapter.block_count);
  try {
    bring_in(id, adapter);
  } catch (...) {
    slots().let_go(blocks);
    throw;
  }
  adapter_blocks_[id.index] = std::move(blocks);
}

void Engine::drop_adapter(int32_t index) {
  const auto found = adapter_blocks_.find(index);
  if (found == adapter_blocks_.end()) return;
  put_out(index);
  slots().let_go(found->second);
  adapter_blocks_.erase(found);
}

StepInput Engine::prepare(const StepBatch& batch) {
  StepInput input = slots().prepare(batch);
  resolve(input);
  return input;
}

}  // namespace lorikeet
