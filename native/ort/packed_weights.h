// Products' weights as the CPU's kernels want them (kernels/linear.h), made of a checkpoint's tensors while it is loaded.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>
#include "../kernels/linear.h"
#include "../kernels/matrix.h"

namespace lorikeet {

struct PackedWeight {
  LinearShape shape;
  const uint8_t* data = nullptr;
};

// Room for all of them in one mapping: its pages are touched as weights are written, and large ones spare the translation of addresses.
class PackedWeights {
 public:
  PackedWeights() = default;
  PackedWeights(const PackedWeights&) = delete;
  ~PackedWeights();

  // Enters a weight that `pack` will write; before `reserve`.
  void add(const LinearShape& shape);
  // Throws std::runtime_error where there is no such memory.
  void reserve();
  // Writes outputs [first, first + rows.rows) of the i-th weight, on `threads` threads; all but the last outputs in multiples of kLinearTile.
  void pack(size_t i, int64_t first, const Matrix& rows, int threads);
  const std::vector<PackedWeight>& list() const { return list_; }

 private:
  std::vector<PackedWeight> list_;
  std::vector<size_t> offsets_;
  uint8_t* base_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace lorikeet
