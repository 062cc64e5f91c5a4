// Small pieces of device or pinned memory out of few allocations: allocating on a device costs a hundred microseconds and stops it.
// Pieces are powers of two from 1 KiB; a freed one waits in its class's list. Not for several threads.
#pragma once
#include <array>
#include <cstdint>
#include <vector>
#include "../../device/device.h"

namespace lorikeet {

class Arena {
 public:
  explicit Arena(device::Memory kind) : kind_(kind) {}
  // So many bytes are there for pieces to come.
  void reserve(size_t bytes);
  uint8_t* allocate(size_t bytes);
  void release(uint8_t* piece, size_t bytes);

 private:
  static constexpr size_t kLeast = 1024, kChunk = size_t{8} << 20;
  static int class_of(size_t bytes);

  device::Memory kind_;
  std::vector<device::Buffer> chunks_;
  uint8_t* next_ = nullptr;  // the last chunk's unused end
  size_t left_ = 0;
  std::array<std::vector<uint8_t*>, 40> free_;
};

}  // namespace lorikeet
