// Two passes: a warp for each row finds what its norm divides by; a thread for each column of a range then adds the range's rows in their order.
#include "row_sums.h"
#include <cmath>
#include "site.cuh"

namespace lorikeet::cuda {
namespace {

constexpr int kThreads = 128, kLanes = 32;

__device__ inline double of_lane(double v, int lane) {
  union {
    double number;
    uint64_t bits;
  } as{v};
  as.bits = from_lane(as.bits, lane);
  return as.number;
}

template <class T>
__global__ void __launch_bounds__(kThreads) scale_rows(const __grid_constant__ RowSumOp op) {
  const int lane = threadIdx.x % kLanes;
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kLanes;
  // A whole warp has one row, or none.
  if (row >= op.rows) return;
  const uint16_t* const x = static_cast<const uint16_t*>(op.x) + row * op.width;
  double squares = 0;
  for (int64_t i = lane; i < op.width; i += kLanes) {
    const float value = T::decode(x[i]);
    squares += static_cast<double>(value) * value;
  }
  for (int distance = kLanes / 2; distance > 0; distance /= 2) squares += of_lane(squares, lane ^ distance);
  if (lane == 0) op.scales[row] = static_cast<float>(1 / sqrt(squares / static_cast<double>(op.width) + op.epsilon));
}

template <class T>
__global__ void __launch_bounds__(kThreads) sum_ranges(const __grid_constant__ RowSumOp op) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= op.range_count * op.width) return;
  const RowRange range = op.ranges[at / op.width];
  const int64_t column = at % op.width;
  const float weight = T::decode(static_cast<const uint16_t*>(op.weight)[column]);
  double sum = 0;
  for (int64_t row = range.first; row < static_cast<int64_t>(range.first) + range.count; row++)
    sum += product(product(T::decode(static_cast<const uint16_t*>(op.x)[row * op.width + column]), op.scales[row]), weight);
  op.sums[at] = sum;
}

Grid grid_of(int64_t threads, CUstream_st* stream) { return {static_cast<uint32_t>((threads + kThreads - 1) / kThreads), kThreads, false, stream}; }

}  // namespace

int sum_normed_rows(const RowSumOp& op, CUstream_st* stream) {
  if (op.range_count == 0) return 0;
  return with_type(op.dtype, [&](auto type) {
    using T = decltype(type);
    const int failed = launch_kernel(scale_rows<T>, grid_of(op.rows * kLanes, stream), op);
    return failed ? failed : launch_kernel(sum_ranges<T>, grid_of(op.range_count * op.width, stream), op);
  });
}

}  // namespace lorikeet::cuda
