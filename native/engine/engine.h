// A model ready to run: session, pool, adapter table. No N-API; one step at a time. One implementation per device.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include "../device/device.h"
#include "../kernels/kernels.h"
#include "../pool/residents.h"
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
  // See native/types.ts. Throw std::invalid_argument on anything out of range, before a byte is written.
  virtual void put_adapter(const AdapterIdentity& id, const PackedAdapter& image) = 0;
  virtual void drop_adapter(int32_t index) = 0;
  virtual bool adapter_ready(int32_t) const { return true; }
  virtual void pin_image(uint8_t*, size_t) {}
  virtual void unpin_image(uint8_t*) {}
  // Looks the batch's adapters up in the table; call where the table may not change meanwhile. Fills input.resolved and input.segment_status.
  virtual void resolve(StepInput& input) const = 0;
  // Runs the graph and samples. Throws std::exception; KV outside the batch's slots is untouched then.
  virtual StepResult run(StepInput& input) = 0;
};

// Maps the files, creates the session and the pool. `progress` gets the fraction of the bytes read. Throws std::exception.
std::unique_ptr<Engine> create_engine(EngineOptions options, const std::function<void(float)>& progress);

// Whether this build has CUDA, and the device it would use; without one `missing` says why.
bool has_cuda();
std::optional<device::Info> cuda_device_info(std::string& missing);

}  // namespace lorikeet
