// The engine on the CPU: one ONNX Runtime session over the mapped checkpoint, float32 activations, the pool in ordinary memory.
#pragma once
#include <string>
#include <vector>
#include "../ops/ops.h"
#include "../pool/host_blocks.h"
#include "../ort/weights.h"
#include "engine.h"

namespace lorikeet {

class CpuEngine : public Engine {
 public:
  CpuEngine(const EngineOptions& options, const std::function<void(float)>& progress);

  int64_t block_bytes() const override { return pool_.block_bytes(); }
  int64_t block_count() const override { return pool_.block_count(); }
  // There is no device: the step is computed when it is begun.
  void launch(Step& step) override;
  void finish(Step&) override {}

 protected:
  std::weak_ptr<const void> bring_in(const AdapterIdentity& id, const PackedAdapter& adapter) override;
  void put_out(int32_t index) override { table_.drop(index); }
  void resolve(StepInput& input) const override { resolve_adapters(table_, input); }

 private:
  void bind_cache();

  StepContext context_;
  Weights weights_;
  HostBlocks pool_;
  ImageLimits limits_;
  ResidentTable table_;
  OpDomain domain_;
  MemoryInfoPtr memory_;
  SessionPtr session_;
  std::vector<std::string> cache_names_;
  std::vector<ValuePtr> cache_;  // key_cache.0, value_cache.0, key_cache.1, …: views of the pool
  bool headless_;
  int32_t layers_, block_size_, site_count_;
};

}  // namespace lorikeet
