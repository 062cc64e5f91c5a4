// A model ready to run: session, pool, adapter table, slots. No N-API. One implementation per device.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>
#include "../device/device.h"
#include "../kernels/kernels.h"
#include "../pool/residents.h"
#include "../step/slots.h"
#include "options.h"

namespace lorikeet {

// The device is gone: every later step would fail too.
struct DeviceLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual int64_t block_bytes() const = 0;
  virtual int64_t block_count() const = 0;

  // The JavaScript thread's; see native/types.ts. They throw std::invalid_argument on anything out of range, before a byte is written.
  // Returns what reads the image from now on, for as long as it is there: a step may outlive drop_adapter. Null where its bytes have been copied.
  std::weak_ptr<const void> put_adapter(const AdapterIdentity& id, const PackedAdapter& adapter);
  void drop_adapter(int32_t index);
  virtual bool adapter_ready(int32_t) const { return true; }
  virtual void pin_image(uint8_t*, size_t) {}
  virtual void unpin_image(uint8_t*) {}
  virtual void admit(SlotInput input) { slots().admit(std::move(input)); }
  virtual void release(int32_t slot) { slots().release(slot); }
  // Checks the batch and writes it out as a step, with its adapters looked up: the table may change before it runs.
  StepInput prepare(const StepBatch& batch);

  // The step threads' (Stepper). `launch` begins a step, in order; the one before it may be unfinished. `finish` waits for it and fills its result.
  // Both throw std::exception; KV outside the batch's blocks is untouched then.
  virtual void launch(Step& step) = 0;
  virtual void finish(Step& step) = 0;

  Slots& slots() { return *slots_; }
  const Slots& slots() const { return *slots_; }

 protected:
  // For the end of a constructor, when the pool's size is known.
  void open_slots(const EngineOptions& options);
  virtual std::weak_ptr<const void> bring_in(const AdapterIdentity& id, const PackedAdapter& adapter) = 0;
  virtual void put_out(int32_t index) = 0;
  virtual void resolve(StepInput& input) const = 0;

 private:
  std::optional<Slots> slots_;
  std::map<int32_t, Held> adapters_hold_;  // by place in the adapter table
};

// Maps the files, creates the session and the pool. `progress` gets the fraction of the bytes read. Throws std::exception.
std::unique_ptr<Engine> create_engine(EngineOptions options, const std::function<void(float)>& progress);

// Whether this build has CUDA, and the device it would use; without one `missing` says why.
bool has_cuda();
std::optional<device::Info> cuda_device_info(std::string& missing);

}  // namespace lorikeet
