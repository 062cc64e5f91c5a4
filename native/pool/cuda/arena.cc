#include "arena.h"
#include <algorithm>

namespace lorikeet {

int Arena::class_of(size_t bytes) {
  int c = 0;
  while ((kLeast << c) < bytes) c++;
  return c;
}

void Arena::reserve(size_t bytes) {
  if (bytes <= left_) return;
  const device::Buffer& chunk = chunks_.emplace_back(kind_, std::max(bytes, kChunk));
  next_ = chunk.data();
  left_ = chunk.bytes();
}

uint8_t* Arena::allocate(size_t bytes) {
  const int c = class_of(bytes);
  if (!free_[c].empty()) {
    uint8_t* piece = free_[c].back();
    free_[c].pop_back();
    return piece;
  }
  const size_t size = kLeast << c;
  reserve(size);
  uint8_t* piece = next_;
  next_ += size;
  left_ -= size;
  return piece;
}

void Arena::release(uint8_t* piece, size_t bytes) { free_[class_of(bytes)].push_back(piece); }

}  // namespace lorikeet
