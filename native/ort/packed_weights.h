// Products' weights as the CPU's kernels want them (kernels/linear.h), made of a checkpoint's tensors while it is loaded.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>
#include "../kernels/linear.h"
#include "../kernels/matrix.h"
#include "mapped_file.h"

namespace lorikeet {

struct PackedWeight {
  LinearShape shape;
  const uint8_t* data = nullptr;
};

// Room for all of them in one mapping: of memory, whose pages are touched as weights are written, and large ones spare the translation of addresses; or of a file in
// which they were kept.
class PackedWeights {
 public:
  PackedWeights() = default;
  PackedWeights(const PackedWeights&) = delete;
  ~PackedWeights();

  // Enters a weight; before `reserve` or `map`.
  void add(const LinearShape& shape);
  // Takes memory, for `pack` to write. Throws std::runtime_error where there is none.
  void reserve();
  // Takes what `keep` wrote for the same weights. False where there is no such file, or it is damaged. `progress` gets the fraction read.
  bool map(const std::string& path, const std::function<void(float)>& progress);
  // Writes what is packed into a file, which comes under its name whole. False where that cannot be done: a disk that is full, a folder that is gone.
  bool keep(const std::string& path) const;
  // Writes outputs [first, first + rows.rows) of the i-th weight, on `threads` threads; all but the last outputs in multiples of kLinearTile.
  void pack(size_t i, int64_t first, const Matrix& rows, int threads);
  // Writes all outputs of one that is quantized already, its numbers as they are.
  void pack(size_t i, const StoredWeight& weight, int threads);
  const std::vector<PackedWeight>& list() const { return list_; }

 private:
  void set_base(const uint8_t* base);

  std::vector<PackedWeight> list_;
  std::vector<size_t> offsets_;
  uint8_t* base_ = nullptr;  // of memory
  std::optional<MappedFile> file_;
  size_t bytes_ = 0;
};

}  // namespace lorikeet
