// Adapters in a device's pool. Their bytes travel on a stream of their own beside the steps; nothing here waits for the device, except unpinning.
// Used from the engine's JavaScript thread, but for hold(): the thread that begins steps alone touches the compute stream, which it may be capturing.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <vector>
#include "../../kernels/cuda/adapters.h"
#include "arena.h"
#include "../residents.h"
#include "site_bits.h"

namespace lorikeet {

struct DeviceResident : Resident {
  cuda::AdapterShape shape;
  SiteBits sites;
  uint8_t* tables = nullptr;  // on the device
  uint8_t* staged = nullptr;  // the same in pinned memory; null once copied
  size_t table_bytes = 0;
  const uint8_t* image = nullptr;
  device::Event arrived;
};

class DeviceResidents {
 public:
  // `pool` outlives this.
  DeviceResidents(uint8_t* pool, ImageLimits limits);
  ~DeviceResidents();
  void put(const AdapterIdentity& id, const PackedAdapter& image);
  void drop(int32_t index);
  bool ready(int32_t index);
  // Bytes that will be put; see NativeEngine.pinImage.
  void pin(uint8_t* image, size_t bytes);
  void unpin(uint8_t* image);

  const ResidentTable& table() const { return table_; }
  // `compute`'s later work waits for these adapters' bytes, and for those that were dropped on their way: their blocks may hold KV now.
  void hold(device::Stream compute, const std::vector<std::shared_ptr<const Resident>>& used);

 private:
  void settle(DeviceResident& resident);
  // On the copies' stream: what of it is pinned as such, the ends of pages shared with others apart.
  void upload(uint8_t* to, const uint8_t* from, size_t bytes);

  uint8_t* pool_;
  ImageLimits limits_;
  device::OwnedStream copies_;
  Arena tables_{device::Memory::device}, staging_{device::Memory::pinned};
  ResidentTable table_;
  std::vector<std::shared_ptr<DeviceResident>> arriving_;
  struct Pages {
    const uint8_t *begin, *end;
  };
  std::map<const uint8_t*, Pages> pinned_;  // by image: the whole pages within it
  std::mutex leaving_mutex_;
  std::vector<std::shared_ptr<DeviceResident>> leaving_;
};

}  // namespace lorikeet
