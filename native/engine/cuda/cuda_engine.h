// The engine on CUDA: device pool and slots, adapters uploaded beside the steps, one upload and one download a step, decode steps replayed as CUDA graphs.
// `launch`, in order: hold for adapters and slots on their way → decide the step's shape → write its inputs into one pinned buffer → copy it → make token ids and
// block tables from the slots → run the graph (or replay it), which notes the sampled tokens in their slots → copy the results back. `finish` waits for that.
//
// Two steps may be in flight: all is on one stream, so that they share the device's buffers; of the host's there are two, used in turn.
#pragma once
#include <array>
#include <memory>
#include <string>
#include <vector>
#include "../../pool/cuda/device_residents.h"
#include "../../pool/cuda/device_slots.h"
#include "../engine.h"
#include "graph_table.h"
#include "input_layout.h"
#include "session.h"
#include "step_shape.h"

namespace lorikeet::cuda {

class CudaEngine : public Engine {
 public:
  // Made, run and ended on one thread (Stepper), but for `finish` and what engine.h calls the JavaScript thread's.
  CudaEngine(EngineOptions options, const std::function<void(float)>& progress);
  ~CudaEngine() override;

  int64_t block_bytes() const override { return options_.block_bytes(); }
  int64_t block_count() const override { return block_count_; }
  bool adapter_ready(int32_t index) const override { return residents_->ready(index); }
  void pin_image(uint8_t* image, size_t bytes) override { residents_->pin(image, bytes); }
  void unpin_image(uint8_t* image) override { residents_->unpin(image); }
  void admit(SlotInput input) override;
  void release(int32_t slot) override;
  void launch(Step& step) override;
  void finish(Step& step) override;

 protected:
  std::weak_ptr<const void> bring_in(const AdapterIdentity& id, const PackedAdapter& adapter) override {
    residents_->put(id, adapter);
    return {};
  }
  void put_out(int32_t index) override { residents_->drop(index); }
  void resolve(StepInput& input) const override { resolve_adapters(residents_->table(), input); }

 private:
  // What the host keeps of a step in flight.
  struct Flight {
    device::Buffer staging, fetched, sums;  // pinned: its inputs from `uploaded` on, its results, its sums of hidden states
    device::Event begun{true}, done{true};
    SampleShape sampled;
    std::vector<uint8_t> withheld;  // as Work's
  };
  // A step as its launch takes it: the batch, and what each row of logits asks for.
  struct Work {
    const StepInput& input;
    std::vector<SampleRow> rows;  // [R]
    SampleFeatures features;
    std::vector<uint32_t> masks;     // one after the other, of the rows that have one
    std::vector<int32_t> mask_of;    // [R], or empty where there are none: its mask's first word, −1: none
    std::vector<uint8_t> withheld;   // [R], or empty: why a row's mask lets nothing through
  };

  void make_pool();
  int64_t blocks_that_fit();
  void bind_cache(uint8_t* pool, int64_t blocks);
  Work work_of(const StepInput& input) const;
  void mask_rows(Work& work) const;
  // `graph`: under which the step was captured or replayed, also if that failed; 0 without.
  void queue(const Work& work, const StepShape& shape, Flight& flight, StepResult& result, int32_t& graph);
  void fit(const Work& work, const StepShape& shape, const InputLayout& at, Flight& flight);
  void plan(const StepInput& input, const StepShape& shape, const InputLayout& at, Flight& flight);
  void make_inputs(const StepInput& input, const StepShape& shape, const InputLayout& at);
  size_t sums_bytes(const StepInput& input) const { return sizeof(double) * input.summed.size() * options_.hidden_size; }
  void run(const StepShape& shape, const InputLayout& at, int32_t graph);
  void fetch(const StepInput& input, const Flight& flight, StepResult& result) const;

  EngineOptions options_;
  ShapeLimits limits_;
  device::Info device_;
  device::OwnedStream compute_;
  CudaStepContext context_;
  std::unique_ptr<Session> session_;
  int64_t block_count_ = 0;
  std::unique_ptr<DeviceSlots> device_slots_;
  device::Buffer pool_;
  std::unique_ptr<DeviceResidents> residents_;
  std::vector<std::string> cache_names_;
  std::vector<ValuePtr> cache_;  // key_cache.0, value_cache.0, key_cache.1, …: views of the pool

  std::array<Flight, 2> flights_;
  size_t launched_ = 0, finished_ = 0;  // steps; the one the launching thread's, the other the finishing thread's
  device::Buffer inputs_, results_, lora_scratch_, sample_scratch_, tokens_, raw_logits_;
  device::Buffer summed_, sums_;  // the graph's output that says nothing; [ranges, hidden] of float64 and then [tokens] of float32, the scratch
  GraphTable graphs_;  // of the addresses above: forgotten when one of them moves
};

}  // namespace lorikeet::cuda
