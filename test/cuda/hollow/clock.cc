// The device's time. By itself whatever is put into a stream is done at once. While HOLLOW_FAULTS says `slow-step N`, a step occupies its stream for N µs from
// the moment it is put there, or from the end of what the stream still has: events and waits behind it are done only then. What a step is: the kernels and the
// replay between two copies to the device on one stream, as the engine uploads its inputs once. (The bytes of copies are moved at
// once all the same: nothing here computes them.) The log gets `step BEGIN END` in µs of one clock: what lies between one's end and the next one's begin is time
// in which the device is idle.
#include <algorithm>
#include <thread>
#include "hollow.h"

namespace hollow {

using std::chrono::duration_cast, std::chrono::microseconds;

void step_begins(CUstream_st* stream) {
  const std::lock_guard guard(lock);
  stream->stepping = false;
}

void step_works(CUstream_st* stream) {
  const int us = slow("slow-step");
  const std::lock_guard guard(lock);
  if (!us || stream->stepping) return;
  stream->stepping = true;
  const Moment begin = std::max(std::chrono::steady_clock::now(), stream->until);
  stream->until = begin + microseconds(us);
  const auto at = [](Moment moment) { return static_cast<long long>(duration_cast<microseconds>(moment.time_since_epoch()).count()); };
  log("step %lld %lld", at(begin), at(stream->until));
}

void wait_until(Moment moment) {
  // A sleeping thread wakes up some 50 µs late; CUDA's own waits are busy ones too.
  std::this_thread::sleep_until(moment - microseconds(200));
  while (std::chrono::steady_clock::now() < moment) std::this_thread::yield();
}

}  // namespace hollow
