// native/device/device.h without CUDA: see streams.h and memory.h.
#include "../../../native/device/device.h"
#include <cstring>
#include <stdexcept>
#include <utility>
#include "../emulator.h"
#include "frozen.h"
#include "memory.h"
#include "streams.h"

namespace lorikeet::device {

using emulated::Place;

namespace {

// How often an event answers "not yet" before somebody's asking completes it.
constexpr int kNotYet = 3;

void must(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(std::string("emulated device: ") + what);
}

// After a failed step, as after a fault in one of CUDA's kernels: every later call fails, in the whole process.
bool lost = false;

// Held by every call that may fail.
struct Call {
  Call() { must(!lost, "the device is lost"); }
  const std::lock_guard<std::recursive_mutex> guard{emulated::lock()};
};

bool complete(const CUevent_st& event) {
  const auto stream = event.stream.lock();
  return !stream || stream->done >= event.place;
}

void finish(const CUevent_st& event) {
  if (const auto stream = event.stream.lock()) stream->run_to(event.place);
}

std::shared_ptr<CUstream_st> owner_of(Stream stream) {
  for (const auto& one : emulated::streams())
    if (one.get() == stream) return one;
  throw std::runtime_error("emulated device: the stream does not exist");
}

void copy(void* to, const void* from, size_t bytes, Stream stream, bool later) {
  CUstream_st::Work work;
  work.from = static_cast<const uint8_t*>(from);
  work.to = static_cast<uint8_t*>(to);
  work.bytes = bytes;
  work.run = [to, from, bytes] { std::memcpy(to, from, bytes); };
  stream->add(std::move(work), later);
}

}  // namespace

bool available(std::string&) { return true; }

Info info() {
  Info info;
  info.name = "emulated (no GPU)";
  info.total = emulated::kTotal;
  info.free = emulated::kTotal - emulated::device_bytes_in_use();
  info.major = 9;
  info.multiprocessors = 24;  // enough for grids to differ with what a step holds, so that frozen.h sees it
  return info;
}

void allow_captures_elsewhere() { emulated::beside() = true; }

Buffer::Buffer(Memory kind, size_t bytes) : kind_(kind), bytes_(bytes) {
  const Call call;
  data_ = emulated::allocate(kind == Memory::device ? Place::device : Place::pinned, bytes);
}
Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }
Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(kind_, other.kind_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}
Buffer::~Buffer() {
  if (data_) emulated::release(data_);
}

OwnedStream::OwnedStream() {
  const std::lock_guard guard(emulated::lock());
  // A kernel on a stream comes after everything that the stream holds.
  cuda::before_grid = [](CUstream_st* stream) {
    const std::lock_guard guard(emulated::lock());
    if (stream) stream->run_to(stream->enqueued);
  };
  cuda::host_value = emulated::frozen_bytes;
  emulated::streams().push_back(std::make_shared<CUstream_st>());
  stream_ = emulated::streams().back().get();
}
OwnedStream::~OwnedStream() {
  const std::lock_guard guard(emulated::lock());
  stream_->run_to(stream_->enqueued);
  std::erase_if(emulated::streams(), [&](const auto& one) { return one.get() == stream_; });
}

Event::Event(bool) : event_(new CUevent_st) {}
Event::~Event() { delete event_; }
void Event::record(Stream stream) {
  const Call call;
  event_->stream = owner_of(stream);
  event_->asked = 0;
  event_->passed = std::make_shared<std::chrono::steady_clock::time_point>();
  CUstream_st::Work work;
  work.run = [passed = event_->passed] { *passed = std::chrono::steady_clock::now(); };
  // Behind copies that wait, it waits too.
  stream->add(std::move(work), emulated::beside() || !stream->waiting.empty());
  event_->place = stream->enqueued;
}
bool Event::done() const {
  const Call call;
  if (!complete(*event_) && ++event_->asked > kNotYet) finish(*event_);
  return complete(*event_);
}
void Event::wait() const {
  const Call call;
  finish(*event_);
}
void Event::hold(Stream stream) const {
  const Call call;
  CUstream_st::Work work;
  work.run = [event = *event_] { finish(event); };
  stream->add(std::move(work), emulated::beside());
}
double Event::ms_since(const Event& from) const {
  const std::lock_guard guard(emulated::lock());
  if (!event_->passed || !from.event_->passed) return 0;
  return std::chrono::duration<double, std::milli>(*event_->passed - *from.event_->passed).count();
}

void copy_to_device(void* to, const void* from, size_t bytes, Stream stream) {
  const Call call;
  must(emulated::inside(Place::device, to, bytes), "a copy to the device leaves the device's memory");
  const bool pinned = emulated::inside(Place::pinned, from, bytes);
  if (!emulated::beside() || pinned) return copy(to, from, bytes, stream, emulated::beside());
  // The host may do what it likes with memory that is not pinned: the bytes of now are the copy's.
  auto taken = std::make_shared<std::vector<uint8_t>>(static_cast<const uint8_t*>(from), static_cast<const uint8_t*>(from) + bytes);
  CUstream_st::Work work;
  work.to = static_cast<uint8_t*>(to);
  work.bytes = bytes;
  work.run = [to, taken] { std::memcpy(to, taken->data(), taken->size()); };
  stream->add(std::move(work), true);
}
void copy_on_device(void* to, const void* from, size_t bytes, Stream stream) {
  const Call call;
  emulated::frozen_value("bytes of a copy on the device", bytes);
  copy(to, from, bytes, stream, emulated::beside());
}
void copy_to_host(void* to, const void* from, size_t bytes, Stream stream) {
  const Call call;
  must(emulated::inside(Place::device, from, bytes), "a copy to the host leaves the device's memory");
  const bool pinned = emulated::inside(Place::pinned, to, bytes);
  if (pinned) std::memset(to, 0xff, bytes);
  copy(to, from, bytes, stream, pinned || emulated::beside());
}
void synchronize(Stream stream) {
  const Call call;
  stream->run_to(stream->enqueued);
}
// Nothing fails here but for a fault of the engine's: it must not be hidden by running the step again without a capture. So the device is lost.
bool abandon_capture(Stream stream) {
  const std::lock_guard guard(emulated::lock());
  emulated::captured_run_abandoned();
  stream->run_to(stream->enqueued);
  lost = true;
  return true;
}
void pin(void* data, size_t bytes) {
  const Call call;
  emulated::register_host(static_cast<uint8_t*>(data), bytes);
}
void unpin(void* data) {
  const Call call;
  emulated::unregister_host(static_cast<uint8_t*>(data));
}

}  // namespace lorikeet::device
