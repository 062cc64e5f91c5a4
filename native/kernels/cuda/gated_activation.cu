// One pass over two inputs: memory is the limit, or with few rows the launch. A thread takes eight elements at a time, 16 bytes of each input.
#include "gated_activation.h"
#include <algorithm>
#include "site.cuh"

namespace lorikeet::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kBlocksEach = 16;  // on a multiprocessor: as many threads as it holds

// x / (1 + e^−z); where e^−z leaves the floats it is infinite, and the result 0.
__device__ inline float times_sigmoid(float x, float z) { return x / (1 + expf(-z)); }

template <Activation kind>
__device__ float activated(float x) {
  if (kind == Activation::silu) return times_sigmoid(x, x);
  // (1 + tanh u) / 2 is the logistic function of 2u = 2 √(2/π) (x + 0.044715 x³).
  if (kind == Activation::gelu_tanh) return times_sigmoid(x, x * (1.59576912f + 0.0713548163f * x * x));
  if (kind == Activation::gelu) return x * (0.5f * erfcf(-0.707106781f * x));
  return x < 0 ? 0 : x;
}

template <class T, Activation kind, bool kAligned>
__global__ void __launch_bounds__(kThreads) gate_elements(const __grid_constant__ GatedOp op) {
  const auto width = static_cast<int32_t>(op.width);
  const int32_t spans = (width + 7) / 8, units = static_cast<int32_t>(op.rows) * spans;
  for (int32_t unit = blockIdx.x * kThreads + threadIdx.x; unit < units; unit += gridDim.x * kThreads) {
    const int64_t row = unit / spans;
    const int32_t at = unit % spans * 8;
    // y may be one of them, so that neither is constant data.
    const Words gate = read8<kAligned, Reuse::written>(static_cast<const uint16_t*>(op.gate) + row * op.stride, at, width);
    const Words up = read8<kAligned, Reuse::written>(static_cast<const uint16_t*>(op.up) + row * op.stride, at, width);
    Words y;
#pragma unroll
    for (int i = 0; i < 4; i++)
      y.w[i] = pack<T>(activated<kind>(element<T>(gate, 2 * i)) * element<T>(up, 2 * i),
                       activated<kind>(element<T>(gate, 2 * i + 1)) * element<T>(up, 2 * i + 1));
    write8<kAligned>(static_cast<uint16_t*>(op.y) + row * op.width, at, width, y);
  }
}

template <class T, Activation kind>
int launch(const GatedOp& op, const Grid& grid) {
  return launch_kernel(op.width % 8 == 0 && op.stride % 8 == 0 ? gate_elements<T, kind, true> : gate_elements<T, kind, false>, grid, op);
}

}  // namespace

int gated_activation(const GatedOp& op, int32_t multiprocessors, CUstream_st* stream) {
  const int64_t most = static_cast<int64_t>(multiprocessors) * kBlocksEach, units = op.rows * ((op.width + 7) / 8);
  if (units == 0) return 0;
  const Grid grid{static_cast<uint32_t>(std::min((units + kThreads - 1) / kThreads, most)), kThreads, false, stream};
  return with_type(op.dtype, [&](auto type) {
    using T = decltype(type);
    switch (op.activation) {
      case Activation::silu: return launch<T, Activation::silu>(op, grid);
      case Activation::gelu_tanh: return launch<T, Activation::gelu_tanh>(op, grid);
      case Activation::gelu: return launch<T, Activation::gelu>(op, grid);
      default: return launch<T, Activation::relu>(op, grid);
    }
  });
}

}  // namespace lorikeet::cuda
