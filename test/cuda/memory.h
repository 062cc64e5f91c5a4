// Device memory for the checks: CUDA's where nvcc compiles them, plain memory (with the sanitizer's bounds) under the emulator.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>
#ifdef __CUDACC__
#include <cuda_runtime.h>
#endif

namespace lorikeet::test {

inline void must(int error, const char* what) {
#ifdef __CUDACC__
  if (error) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(static_cast<cudaError_t>(error)));
#else
  if (error) throw std::runtime_error(what);
#endif
}

// `count` items on the device, every byte 0xff until written: NaN in every float type.
template <class T>
class OnDevice {
 public:
  explicit OnDevice(size_t count) : count_(count) {
#ifdef __CUDACC__
    must(cudaMalloc(&data_, bytes()), "cudaMalloc");
    must(cudaMemset(data_, 0xff, bytes()), "cudaMemset");
#else
    data_ = static_cast<T*>(std::aligned_alloc(64, bytes()));
    std::memset(static_cast<void*>(data_), 0xff, bytes());
#endif
  }
  explicit OnDevice(const std::vector<T>& from) : OnDevice(from.size()) { put(from.data(), from.size()); }
  OnDevice(const OnDevice&) = delete;
  ~OnDevice() {
#ifdef __CUDACC__
    cudaFree(data_);
#else
    std::free(data_);
#endif
  }
  void put(const T* from, size_t count) {
#ifdef __CUDACC__
    must(cudaMemcpy(data_, from, count * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
#else
    if (count) std::memcpy(static_cast<void*>(data_), from, count * sizeof(T));
#endif
  }
  std::vector<T> get() const {
    std::vector<T> to(count_);
#ifdef __CUDACC__
    must(cudaDeviceSynchronize(), "kernels");
    must(cudaMemcpy(to.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "cudaMemcpy");
#else
    if (count_) std::memcpy(static_cast<void*>(to.data()), data_, count_ * sizeof(T));
#endif
    return to;
  }
  T* data() const { return data_; }

 private:
  size_t bytes() const { return (count_ * sizeof(T) + 63) / 64 * 64 + (count_ == 0 ? 64 : 0); }
  T* data_ = nullptr;
  size_t count_;
};

}  // namespace lorikeet::test
