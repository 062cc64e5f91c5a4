// Deltas without B: y += w s ⊙ (A x), row j of A adding to output index[j] (identity without an index). HiRA's dense deltas and single output rows.
// Weights are as large as the base's own here, so there is nothing to split thinly: a block owns 64 outputs of one tile and walks all of x; its four
// warps take every fourth step of the dot products, and their sums are added in order. Several adapters of a mix add up in shared memory.
#include "site.cuh"

namespace lorikeet::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * 32;
constexpr int kOuts = 64;
constexpr int kStep = 32;
constexpr int kResident = 3;  // blocks on a multiprocessor
constexpr int kPadded = 17;  // floats between rows of `partial`

struct Shared {
  float partial[kWarps][kWideRows][kPadded];
  float sum[kWideRows][kOuts + 1];
};

// First position in an ascending list whose value is not below `value`.
__device__ inline int32_t lower_bound(const int32_t* list, int32_t count, int32_t value) {
  int32_t low = 0;
  while (count > 0) {
    const int32_t half = count / 2;
    if (list[low + half] < value) {
      low += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return low;
}

// The dot products of rows [j, j + 16) of A with every row of the tile, at most kRows, this warp's steps of them, into `partial`. kDepth: steps whose
// weights are in flight together; the order of the sums is the same for any.
template <class T, bool kAligned, int kRows, int kDepth>
__device__ void multiply(float (&partial)[kWideRows][kPadded], const SiteRows& at, int32_t j, int32_t j_end, const uint16_t* x, int32_t rows,
                         int32_t in) {
  constexpr int kTiles = kRows / 8;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
  const uint16_t* weights[2];
#pragma unroll
  for (int half = 0; half < 2; half++) weights[half] = at.row(at.site.a + (j + g + 8 * half < j_end ? j + g + 8 * half : j));
  float h[kTiles][4] = {};
  for (int32_t k = warp * kStep + c * 8; k < in + c * 8; k += kDepth * kWarps * kStep) {
    Words w[kDepth][2];
#pragma unroll
    for (int d = 0; d < kDepth; d++)
#pragma unroll
      for (int half = 0; half < 2; half++)
        w[d][half] = read8<kAligned, Reuse::none>(weights[half], k + d * kWarps * kStep, j + g + 8 * half < j_end ? in : 0);
#pragma unroll
    for (int d = 0; d < kDepth; d++) {
#pragma unroll
      for (int tile = 0; tile < kTiles; tile++) {
        if (8 * tile >= rows) continue;
        const bool filled = 8 * tile + g < rows;
        const uint16_t* row = x + static_cast<int64_t>(filled ? 8 * tile + g : 0) * in;
        const Words v = read8<kAligned, Reuse::block>(row, k + d * kWarps * kStep, filled ? in : 0);
#pragma unroll
        for (int s = 0; s < 4; s += 2) mma<T>(h[tile], w[d][0].w[s], w[d][1].w[s], w[d][0].w[s + 1], w[d][1].w[s + 1], v.w[s], v.w[s + 1]);
      }
    }
  }
#pragma unroll
  for (int tile = 0; tile < kTiles; tile++) {
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (8 * tile + 2 * c + i % 2 < rows) partial[8 * tile + 2 * c + i % 2][g + i / 2 * 8] = h[tile][i];
  }
}

template <class T, bool kAligned>
__global__ void __launch_bounds__(kThreads, kResident) direct(const __grid_constant__ AdapterStep step, const __grid_constant__ LoraOp op) {
  __shared__ Shared shared;
  int32_t spans = 0;
  for (int p = 0; p < op.products; p++) spans += static_cast<int32_t>((op.out[p] + kOuts - 1) / kOuts);
  const int32_t units = step.plan.counts->direct_tiles * spans;
  for (int32_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const Tile tile = step.plan.tiles[step.plan.direct[unit / spans]];
    int32_t span = unit % spans, product = 0;
    for (;;) {
      const auto here = static_cast<int32_t>((op.out[product] + kOuts - 1) / kOuts);
      if (span < here) break;
      span -= here;
      product++;
    }
    const int32_t out = span * kOuts, outs = static_cast<int32_t>(op.out[product]);
    const int32_t out_end = min(out + kOuts, outs), stride = op.y_stride ? op.y_stride : outs;
    const uint16_t* x = static_cast<const uint16_t*>(op.x) + static_cast<int64_t>(tile.row) * op.in;
    bool touched = false;
    for (int32_t e = tile.entry_begin; e < tile.entry_end; e++) {
      const TileEntry entry = read_plan(step.plan.entries + e);
      const SiteRows at = find_site(step, entry.tables, op.site[product]);
      if (at.site.rank <= 0 || at.site.b >= 0) continue;
      const int32_t* index = at.integers(at.site.index);
      const int32_t j_begin = index ? lower_bound(index, at.site.rank, out) : out;
      const int32_t j_end = index ? lower_bound(index, at.site.rank, out_end) : min(out_end, at.site.rank);
      if (j_begin >= j_end) continue;
      const float* scale = at.floats(at.site.out_scale);
      if (!touched) {
        for (int i = threadIdx.x; i < kWideRows * kOuts; i += kThreads) shared.sum[i / kOuts][i % kOuts] = 0;
        touched = true;
      }
      for (int32_t j = j_begin; j < j_end; j += kRankBlock) {
        auto& partial = shared.partial[threadIdx.x / 32];
        const auto in = static_cast<int32_t>(op.in);
        if (tile.rows <= kNarrowRows) multiply<T, kAligned, kNarrowRows, 4>(partial, at, j, j_end, x, tile.rows, in);
        else multiply<T, kAligned, kWideRows, 1>(partial, at, j, j_end, x, tile.rows, in);
        __syncthreads();
        for (int i = threadIdx.x; i < tile.rows * kRankBlock; i += kThreads) {
          const int row = i / kRankBlock, rank = i % kRankBlock;
          if (j + rank >= j_end) continue;
          float h = 0;
#pragma unroll
          for (int w = 0; w < kWarps; w++) h += shared.partial[w][row][rank];
          const int32_t to = index ? index[j + rank] : j + rank;
          shared.sum[row][to - out] += entry.weight * (scale ? scale[to] * h : h);
        }
        __syncthreads();
      }
    }
    if (!touched) continue;
    for (int i = threadIdx.x; i < tile.rows * kOuts; i += kThreads) {
      const int row = i / kOuts, at = out + i % kOuts;
      if (at >= out_end) continue;
      uint16_t* y = static_cast<uint16_t*>(op.y[product]) + static_cast<int64_t>(tile.row + row) * stride + at;
      *y = T::encode(T::decode(*y) + shared.sum[row][i % kOuts]);
    }
    __syncthreads();
  }
}

}  // namespace

int lora_direct(const AdapterStep& step, const LoraOp& op, const Launch& launch) {
  int64_t units = 0;
  for (int p = 0; p < op.products; p++) units += (op.out[p] + kOuts - 1) / kOuts * launch.counts.direct_tiles;
  if (units == 0) return 0;
  return with_type(step.dtype, [&](auto type) {
    using T = decltype(type);
    return launch_kernel(op.in % 8 == 0 ? direct<T, true> : direct<T, false>,
                         Grid{grid_blocks(units, launch, kResident), kThreads, false, launch.stream}, step, op);
  });
}

}  // namespace lorikeet::cuda
