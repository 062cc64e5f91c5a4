#include "packed_weights.h"
#include <sys/mman.h>
#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include "../numeric/quantize.h"

namespace lorikeet {
namespace {

// About what a thread packs at a time: the floats that it is given stay in its cache.
constexpr int64_t kElementsAtOnce = 1 << 17;

}  // namespace

PackedWeights::~PackedWeights() {
  if (base_) munmap(base_, bytes_);
}

void PackedWeights::add(const LinearShape& shape) {
  offsets_.push_back(bytes_);
  list_.push_back({shape, nullptr});
  bytes_ += linear_bytes(shape);
}

void PackedWeights::reserve() {
  if (bytes_ == 0) return;
  void* p = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::runtime_error("cannot allocate " + std::to_string(bytes_) + " bytes for weights");
#ifdef MADV_HUGEPAGE
  madvise(p, bytes_, MADV_HUGEPAGE);
#endif
  base_ = static_cast<uint8_t*>(p);
  for (size_t i = 0; i < list_.size(); i++) list_[i].data = base_ + offsets_[i];
}

void PackedWeights::pack(size_t i, int64_t first, const Matrix& rows, int threads) {
  const LinearShape& shape = list_.at(i).shape;
  const int64_t tiles = std::max<int64_t>(1, kElementsAtOnce / (shape.in * kLinearTile)), at_once = tiles * kLinearTile;
  std::atomic<int64_t> next = 0;
  const auto take = [&] {
    std::vector<float> floats(static_cast<size_t>(std::min(at_once, rows.rows) * shape.in));
    for (int64_t row; (row = next.fetch_add(at_once)) < rows.rows;) {
      const int64_t count = std::min(at_once, rows.rows - row);
      convert_elements(rows.at(row, 0), rows.dtype, floats.data(), DType::f32, static_cast<size_t>(count * shape.in), 1);
      pack_linear(shape, floats.data(), first + row, count, base_ + offsets_[i]);
    }
  };
  std::vector<std::thread> others;
  for (int64_t t = 1; t < std::min<int64_t>(threads, (rows.rows + at_once - 1) / at_once); t++) others.emplace_back(take);
  take();
  for (auto& other : others) other.join();
}

}  // namespace lorikeet
