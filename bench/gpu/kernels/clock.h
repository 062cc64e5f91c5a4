// Times on the device: graphs of launches, replayed between two events; and the two ceilings that everything is compared with.
#pragma once
#include <cuda_runtime.h>
#include <algorithm>
#include <functional>
#include <vector>
#include "pool.h"

namespace lorikeet::bench {

class Timer {
 public:
  Timer() {
    must(cudaStreamCreate(&stream_), "cudaStreamCreate");
    must(cudaEventCreate(&start_), "cudaEventCreate");
    must(cudaEventCreate(&stop_), "cudaEventCreate");
  }
  cudaStream_t stream() const { return stream_; }

  // Microseconds of one of `count` works: all of them captured in one graph by `launch(i)`, so that gaps between launches are those of a captured step.
  // Median of the replays; `spread` gets half the distance of their quartiles, over the median.
  double graph_us(int32_t count, const std::function<int(int32_t)>& launch, double* spread = nullptr) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    must(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    for (int32_t i = 0; i < count; i++) must(launch(i), "launch");
    must(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
    must(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
    const double us = median([&] { must(cudaGraphLaunch(executable, stream_), "cudaGraphLaunch"); }, spread) / count;
    must(cudaGraphExecDestroy(executable), "cudaGraphExecDestroy");
    must(cudaGraphDestroy(graph), "cudaGraphDestroy");
    return us;
  }

  // Microseconds of `work`, 15 times after 3 to warm up.
  double median(const std::function<void()>& work, double* spread = nullptr) {
    std::vector<double> times;
    for (int i = -3; i < 15; i++) {
      must(cudaEventRecord(start_, stream_), "cudaEventRecord");
      work();
      must(cudaGetLastError(), "work");
      must(cudaEventRecord(stop_, stream_), "cudaEventRecord");
      must(cudaEventSynchronize(stop_), "cudaEventSynchronize");
      float ms = 0;
      must(cudaEventElapsedTime(&ms, start_, stop_), "cudaEventElapsedTime");
      if (i >= 0) times.push_back(ms * 1e3);
    }
    std::sort(times.begin(), times.end());
    const double middle = times[times.size() / 2];
    if (spread) *spread = (times[times.size() * 3 / 4] - times[times.size() / 4]) / 2 / middle;
    return middle;
  }

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
};

__global__ void empty_kernel() {}

constexpr int kReadDepth = 8;

// 16-byte loads, eight of a thread in flight; the sum is stored only in a case that does not come, so that no load can be left out.
__global__ void __launch_bounds__(512) read_all(const uint4* from, size_t count, uint32_t* sink) {
  const size_t stride = size_t(gridDim.x) * blockDim.x;
  uint32_t sum = 0;
  for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < count; i += kReadDepth * stride) {
    uint4 v[kReadDepth];
#pragma unroll
    for (int d = 0; d < kReadDepth; d++) v[d] = from[i + d * stride];
#pragma unroll
    for (int d = 0; d < kReadDepth; d++) sum += v[d].x ^ v[d].y ^ v[d].z ^ v[d].w;
  }
  if (sum == 0x5ca1ab1e) *sink = sum;
}

struct Ceilings {
  double read = 0, copy = 0;    // bytes per second; a copy counts what it reads and what it writes
  double launch_us = 0;         // from one empty kernel of a graph to the next
  size_t l2 = 0;                // bytes
  int32_t multiprocessors = 0;
};

inline Ceilings measure_ceilings(Timer& timer) {
  Ceilings found;
  int device = 0;
  cudaDeviceProp properties{};
  must(cudaGetDevice(&device), "cudaGetDevice");
  must(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  found.l2 = properties.l2CacheSize;
  found.multiprocessors = properties.multiProcessorCount;
  constexpr size_t kBytes = size_t(1) << 30;
  OnDevice<uint8_t> from(kBytes), to(kBytes), sink(16);
  randomize(from.data(), kBytes, DType::f16);
  const int blocks = properties.multiProcessorCount * 4, threads = 512;
  const size_t round = size_t(blocks) * threads * kReadDepth, words = kBytes / sizeof(uint4) / round * round;  // every thread the same number
  const double read_us = timer.median([&] {
    read_all<<<blocks, threads, 0, timer.stream()>>>(reinterpret_cast<const uint4*>(from.data()), words, reinterpret_cast<uint32_t*>(sink.data()));
  });
  const double copy_us = timer.median(
      [&] { must(cudaMemcpyAsync(to.data(), from.data(), kBytes, cudaMemcpyDeviceToDevice, timer.stream()), "cudaMemcpyAsync"); });
  found.read = words * sizeof(uint4) / read_us * 1e6;
  found.copy = 2.0 * kBytes / copy_us * 1e6;
  found.launch_us = timer.graph_us(500, [&](int32_t) {
    empty_kernel<<<1, 32, 0, timer.stream()>>>();
    return static_cast<int>(cudaGetLastError());
  });
  return found;
}

}  // namespace lorikeet::bench
