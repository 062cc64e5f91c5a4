// Room for a product's packed left side, given back when the product is done.
#pragma once
#include <cstdlib>
#include <memory>
#include <new>
#include "../kernels/kernels.h"

namespace lorikeet::fold {

class Packed {
 public:
  Packed(int64_t m, int64_t k) : data_(static_cast<float*>(std::aligned_alloc(64, static_cast<size_t>(packed_left_floats(m, k) * 4 + 64) / 64 * 64))) {
    if (!data_) throw std::bad_alloc();
  }
  float* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(float* data) const { std::free(data); }
  };
  std::unique_ptr<float, Free> data_;
};

}  // namespace lorikeet::fold
