// What the engine needs of the CUDA runtime, behind names of ours: memory, streams, events, copies. cuda.cc implements it on that runtime; who links other
// definitions needs no CUDA (docs/cuda.md, Checking).
// Functions throw std::runtime_error with CUDA's own words when a call fails.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

struct CUstream_st;
struct CUevent_st;

namespace lorikeet::device {

using Stream = CUstream_st*;

struct Info {
  std::string name;
  size_t total = 0, free = 0;  // bytes
  int major = 0, minor = 0;    // compute capability
  int multiprocessors = 0;
};

// The current device. `missing` gets the reason when there is none (no driver, no device, a driver too old).
bool available(std::string& missing);
Info info();

// Lets the calling thread allocate, pin and ask for events while another thread captures a graph (CUDA forbids it by default). Cheap.
void allow_captures_elsewhere();

enum class Memory { device, pinned };

// Owned bytes, 256-byte aligned. Device memory is not cleared.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Memory kind, size_t bytes);
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();
  uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  Memory kind_ = Memory::device;
  uint8_t* data_ = nullptr;
  size_t bytes_ = 0;
};

class OwnedStream {
 public:
  OwnedStream();
  OwnedStream(const OwnedStream&) = delete;
  ~OwnedStream();
  Stream get() const { return stream_; }

 private:
  Stream stream_ = nullptr;
};

// A point in a stream.
class Event {
 public:
  explicit Event(bool timed = false);
  Event(const Event&) = delete;
  ~Event();
  void record(Stream stream);
  bool done() const;
  void wait() const;                 // blocks the calling thread
  void hold(Stream stream) const;    // the stream's later work waits; the host does not
  double ms_since(const Event& from) const;  // both timed and done

 private:
  CUevent_st* event_ = nullptr;
};

// From memory that is not pinned the bytes are taken before the call returns; pinned memory must stay until the stream has passed the copy.
void copy_to_device(void* to, const void* from, size_t bytes, Stream stream);
void copy_on_device(void* to, const void* from, size_t bytes, Stream stream);
void copy_to_host(void* to, const void* from, size_t bytes, Stream stream);
void synchronize(Stream stream);
// After a failure: ends a capture that the stream may be left in. Whether the device is lost: every later call will fail.
bool abandon_capture(Stream stream);
// Page-locks memory that the host owns, or lets it go.
void pin(void* data, size_t bytes);
void unpin(void* data);

}  // namespace lorikeet::device
