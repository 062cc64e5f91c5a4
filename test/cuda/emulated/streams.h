// Streams of a device that is not there. What CUDA would do later is done as late as CUDA's rules allow, so that code which does not wait reads poison:
// - work of threads that run beside the steps (device::allow_captures_elsewhere) stays in its stream until something waits for it;
// - so do copies into pinned host memory, whose bytes are 0xff meanwhile;
// - everything else runs at once, after what its stream still held.
#pragma once
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

struct CUstream_st {
  struct Work {
    std::function<void()> run;
    // Bytes that it reads or writes. Memory that is let go before then must not be among them.
    const uint8_t* from = nullptr;
    uint8_t* to = nullptr;
    size_t bytes = 0;
  };
  std::deque<Work> waiting;
  uint64_t enqueued = 0, done = 0;

  void add(Work work, bool later);
  void run_to(uint64_t place);
};

struct CUevent_st {
  // The stream may be gone by the time somebody asks: then so is its work, done.
  std::weak_ptr<CUstream_st> stream;
  uint64_t place = 0;
  int asked = 0;
  std::shared_ptr<std::chrono::steady_clock::time_point> passed;
};

namespace lorikeet::device::emulated {

// Streams, memory and events are changed under it. Recursive: work may wait for another stream.
std::recursive_mutex& lock();
// Every stream that lives.
std::vector<std::shared_ptr<CUstream_st>>& streams();
// Whether some stream still holds work that touches these bytes.
bool touched(const uint8_t* data, size_t bytes);
// Whether the calling thread has said that it works beside the steps.
bool& beside();

}  // namespace lorikeet::device::emulated
