// What this GPU's memory gives: the floor under every step time. Reads of 16 bytes a thread, as the weights are read, and the driver's own copy.
// Prints JSON: {"read_bytes_per_s": …, "copy_bytes_per_s": …} (a copy counts what it reads and what it writes). Median of 20 after 3 to warm up, by events.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define CHECK(call)                                                                                                        \
  do {                                                                                                                     \
    cudaError_t error = (call);                                                                                            \
    if (error != cudaSuccess) {                                                                                            \
      std::fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(error));                                                  \
      std::exit(1);                                                                                                        \
    }                                                                                                                      \
  } while (0)

__global__ void fill(uint4* to, size_t count) {
  for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < count; i += size_t(gridDim.x) * blockDim.x) {
    // No zeros: they can run faster than data.
    const uint32_t x = uint32_t(i) * 2654435761u;
    to[i] = make_uint4(x, x ^ 0x9e3779b9u, ~x, x + 12345u);
  }
}

// Four independent loads in flight a thread; the sum is stored only in a case that never comes, so that no load can be left out.
__global__ void __launch_bounds__(512) read(const uint4* from, size_t count, uint32_t* sink) {
  const size_t stride = size_t(gridDim.x) * blockDim.x;
  uint32_t sum = 0;
  size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x;
  for (; i + 3 * stride < count; i += 4 * stride) {
    const uint4 a = from[i], b = from[i + stride], c = from[i + 2 * stride], d = from[i + 3 * stride];
    sum += (a.x ^ a.y ^ a.z ^ a.w) + (b.x ^ b.y ^ b.z ^ b.w) + (c.x ^ c.y ^ c.z ^ c.w) + (d.x ^ d.y ^ d.z ^ d.w);
  }
  for (; i < count; i += stride) sum += from[i].x ^ from[i].y ^ from[i].z ^ from[i].w;
  if (sum == 0x5ca1ab1e) *sink = sum;
}

template <class Launch>
double median_ms(Launch launch) {
  cudaEvent_t start, stop;
  CHECK(cudaEventCreate(&start));
  CHECK(cudaEventCreate(&stop));
  std::vector<float> times;
  for (int i = -3; i < 20; i++) {
    CHECK(cudaEventRecord(start));
    launch();
    CHECK(cudaGetLastError());
    CHECK(cudaEventRecord(stop));
    CHECK(cudaEventSynchronize(stop));
    float ms = 0;
    CHECK(cudaEventElapsedTime(&ms, start, stop));
    if (i >= 0) times.push_back(ms);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

int main() {
  const size_t bytes = size_t(4) << 30;  // far beyond any cache
  const size_t count = bytes / sizeof(uint4);
  uint4 *from, *to;
  uint32_t* sink;
  CHECK(cudaMalloc(&from, bytes));
  CHECK(cudaMalloc(&to, bytes));
  CHECK(cudaMalloc(&sink, sizeof *sink));
  int processors = 0;
  CHECK(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
  fill<<<processors * 8, 512>>>(from, count);
  CHECK(cudaGetLastError());
  const double reading = median_ms([&] { read<<<processors * 4, 512>>>(from, count, sink); });
  const double copying = median_ms([&] { CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice)); });
  std::printf("{\"read_bytes_per_s\": %.4e, \"copy_bytes_per_s\": %.4e}\n", bytes / reading * 1e3, 2.0 * bytes / copying * 1e3);
}
