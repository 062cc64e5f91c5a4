// The engine on CUDA: device pool, adapters uploaded beside the steps, one upload and one download a step, decode steps replayed as CUDA graphs.
// A step in order: hold for adapters on their way → decide the step's shape → write all its inputs into one pinned buffer → copy it → run the graph
// (or replay it) → copy the results back → wait.
#pragma once
#include <memory>
#include <string>
#include <vector>
#include "../../pool/cuda/device_residents.h"
#include "../engine.h"
#include "graph_table.h"
#include "session.h"
#include "step_shape.h"
#include "step_thread.h"

namespace lorikeet::cuda {

// Where each array of a step lies in the upload; a function of the shape alone.
struct UploadLayout {
  explicit UploadLayout(const StepShape& shape);
  size_t input_ids, cumulative, past, block_table, slots, logits_indices, adapters, head, samples, lists;
};

class CudaEngine : public Engine {
 public:
  CudaEngine(EngineOptions options, const std::function<void(float)>& progress);
  ~CudaEngine() override;

  int64_t block_bytes() const override { return options_.block_bytes(); }
  int64_t block_count() const override { return block_count_; }
  void put_adapter(const AdapterIdentity& id, const PackedAdapter& image) override { residents_->put(id, image); }
  void drop_adapter(int32_t index) override { residents_->drop(index); }
  bool adapter_ready(int32_t index) const override { return residents_->ready(index); }
  void pin_image(uint8_t* image, size_t bytes) override { residents_->pin(image, bytes); }
  void unpin_image(uint8_t* image) override { residents_->unpin(image); }
  void resolve(StepInput& input) const override { resolve_adapters(residents_->table(), input); }
  StepResult run(StepInput& input) override;

 private:
  void make_pool();
  int64_t blocks_that_fit();
  void bind_cache(uint8_t* pool, int64_t blocks);
  StepResult step(StepInput& input);
  // `graph`: under which the step was captured or replayed, also if that failed; 0 without.
  void run_shape(const StepInput& input, const StepShape& shape, StepResult& result, int32_t& graph);
  void fit(const StepShape& shape, size_t upload_bytes, bool with_logits);
  void fill(const StepInput& input, const StepShape& shape, const UploadLayout& at);
  void plan(const StepInput& input, const StepShape& shape, const UploadLayout& at);
  void launch(const StepShape& shape, const UploadLayout& at, int32_t graph);
  void fetch(const StepInput& input, StepResult& result) const;

  EngineOptions options_;
  ShapeLimits limits_;
  device::Info device_;
  device::OwnedStream compute_;
  device::Event done_, sample_begin_{true}, sample_end_{true};
  CudaStepContext context_;
  std::unique_ptr<Session> session_;
  int64_t block_count_ = 0;
  device::Buffer pool_;
  std::unique_ptr<DeviceResidents> residents_;
  std::vector<std::string> cache_names_;
  std::vector<ValuePtr> cache_;  // key_cache.0, value_cache.0, key_cache.1, …: views of the pool

  device::Buffer staging_, upload_;         // a step's inputs, here and there
  device::Buffer fetched_, results_;        // what comes back
  device::Buffer lora_scratch_, sample_scratch_, tokens_, raw_logits_;
  GraphTable graphs_;  // of the addresses above: forgotten when one of them moves
  StepThread thread_;  // last: it ends before what it uses
};

}  // namespace lorikeet::cuda
