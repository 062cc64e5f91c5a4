// Expand: y += Σ_e w_e (s_e ⊙ (y + B_e h_e) + bias_e − y) in place, h from the shrink.
//
// Tokens are the M of the tensor-core instruction, outputs its N, the 16 ranks of a block its K. Rank rows of B go from memory straight to registers,
// 16 bytes a thread: the outputs of an instruction's columns may be numbered freely, so a thread's eight accumulators of a row are consecutive
// outputs, and y is read and written 16 bytes at a time as well. h is split into two 16-bit halves (value and rest), which keeps 16 or more bits of it.
//
// B does not depend on the shrink: it is asked for before the wait for it, so that with overlapped launches memory does not idle between the two.
#include "site.cuh"

namespace lorikeet::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * 32;
constexpr int kBlocks = 2;                 // blocks of 32 outputs that a warp computes at once
constexpr int kWarpOuts = kBlocks * 32;
constexpr int kResident = 4;               // blocks on a multiprocessor
// Parts of h that are read at once: as many as there are registers for.
constexpr int kWideReads = 2;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
constexpr int kNarrowReads = 3;
#else
constexpr int kNarrowReads = 4;
#endif

struct Work {
  int32_t product, row, tile_rows;  // the tile
  int32_t first_row, rows;          // rows of the tile that the warp computes
  int32_t out, outs;                // first output, outputs of the product

  // Row g + 8*half of y.
  __device__ bool has(int half) const { return static_cast<int>(threadIdx.x % 32 / 4) + 8 * half < rows; }
  __device__ uint16_t* y(const LoraOp& op, int half) const {
    const int32_t stride = op.y_stride ? op.y_stride : outs;
    return static_cast<uint16_t*>(op.y[product]) + static_cast<int64_t>(row + first_row + threadIdx.x % 32 / 4 + 8 * half) * stride;
  }
};

// The same work, of which the compiler knows nothing: else it keeps addresses made from it in registers that the loads of B need.
__device__ inline Work afresh(Work work) {
  opaque(work.product);
  opaque(work.row);
  opaque(work.rows);
  opaque(work.out);
  return work;
}

// The warp's 16 rows of h for one rank block: the sum over the shrink's parts, as A operands of the value and of what rounding it lost. Columns 2c, 2c+1,
// 2c+8, 2c+9 of the instruction are ranks 4c..4c+3, one 16-byte read of h.
// `h_rows`: the first row's, `stride` parts from row to row.
template <class T, bool kWide>
__device__ void read_h(uint32_t (&value)[4], uint32_t (&rest)[4], const float* h_rows, int32_t parts, int32_t stride, int32_t rows) {
  const int lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    float h[4] = {};
    if (g + 8 * half < rows) {
      const float* from = h_rows + static_cast<int64_t>(g + 8 * half) * stride * kRankBlock + 4 * c;
#pragma unroll kWide ? kWideReads : kNarrowReads
      for (int32_t part = 0; part < parts; part++, from += kRankBlock) {
        const Words bits = load(from);
#pragma unroll
        for (int i = 0; i < 4; i++) h[i] += as_float(bits.w[i]);
      }
    }
#pragma unroll
    for (int k = 0; k < 2; k++) {
      const float low = h[2 * k], high = h[2 * k + 1];
      const uint32_t rounded = pack<T>(low, high);
      value[half + 2 * k] = rounded;
      rest[half + 2 * k] = pack<T>(low - T::decode(rounded & 0xffff), high - T::decode(rounded >> 16));
    }
  }
}

// The pool rows of B, ranks 4c..4c+3 of one rank block.
__device__ inline Words rows_of_b(const RankRows* ranks) { return load_cached(ranks->b + threadIdx.x % 4 * 4); }

// d += B h over the first `rank` ranks of one adapter.
template <class T, bool kAligned, bool kWide>
__device__ void multiply(float (&d)[kBlocks][4][4], const AdapterStep& step, const LoraOp& op, const RankRows* ranks, int32_t rank,
                         const TileEntry& entry, const Work& work, int32_t parts, int32_t stride, bool& waited) {
  const int lane = threadIdx.x % 32, g = lane / 4;
  for (int32_t h_row = entry.h_row + work.first_row; rank > 0; rank -= kRankBlock, h_row += work.tile_rows) {
    const Words rows = rows_of_b(ranks++);
    Words w[kBlocks][4];
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const bool ranked = rows.w[r] != kNoRow && lane % 4 * 4 + r < rank;
      const uint16_t* row = row_at(step, ranked ? rows.w[r] : 0);
#pragma unroll
      for (int block = 0; block < kBlocks; block++)
        w[block][r] = read8<kAligned, Reuse::block>(row, work.out + 32 * block + g / 2 * 8, ranked ? work.outs : 0);
    }
    wait_once(waited);
    uint32_t value[4], rest[4];
    read_h<T, kWide>(value, rest, h_at(op, work.product, h_row, stride), parts, stride, work.rows);
#pragma unroll
    for (int block = 0; block < kBlocks; block++) {
#pragma unroll
      for (int n = 0; n < 4; n++) {
        const uint32_t b0 = pair_halves(w[block][0].w[n], w[block][1].w[n], g % 2), b1 = pair_halves(w[block][2].w[n], w[block][3].w[n], g % 2);
        mma<T>(d[block][n], value[0], value[1], value[2], value[3], b0, b1);
        mma<T>(d[block][n], rest[0], rest[1], rest[2], rest[3], b0, b1);
      }
    }
  }
}

// d ← s ⊙ (y + d) + bias − y of entry `e`, which is rare and so looked up once more.
template <class T, bool kAligned>
__device__ void factors(float (&d)[kBlocks][4][4], const AdapterStep& step, const LoraOp& op, const Work& work, int32_t e) {
  const int c = threadIdx.x % 4;
  const SiteRows at = find_site(step, read_plan(step.plan.entries + e).tables, op.site[work.product]);
  const float* scale = at.floats(at.site.out_scale);
  const float* bias = at.floats(at.site.bias);
#pragma unroll
  for (int block = 0; block < kBlocks; block++) {
    const int32_t out = work.out + 32 * block + 8 * c;
    float factor[8];
    if (scale) {
      read8_floats<kAligned>(factor, scale, out, work.outs);
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const Words before = read8<kAligned, Reuse::written>(work.y(op, half), out, work.has(half) ? work.outs : 0);
#pragma unroll
        for (int i = 0; i < 8; i++) {
          float& value = d[block][i / 2][2 * half + i % 2];
          value = factor[i] * (element<T>(before, i) + value) - element<T>(before, i);
        }
      }
    }
    if (bias) {
      read8_floats<kAligned>(factor, bias, out, work.outs);
#pragma unroll
      for (int half = 0; half < 2; half++)
#pragma unroll
        for (int i = 0; i < 8; i++) d[block][i / 2][2 * half + i % 2] += factor[i];
    }
  }
}

// Every adapter of the tile, and the sum into y. Lane (g, c) has outputs out + 32*block + 8c .. +7 of rows g and g + 8.
// `sums` [kBlocks*16][kThreads], each thread its own column: the adapters of a mix before the last, kept out of the registers that loads need.
template <class T, bool kAligned, bool kWide>
__device__ void expand(const AdapterStep& step, const LoraOp& op, const Work& work, const Tile& tile, int32_t parts, int32_t stride, float* sums,
                       bool& waited) {
  const int c = threadIdx.x % 4;
  bool touched = false;
  float d[kBlocks][4][4];
  for (int32_t e = tile.entry_begin; e < tile.entry_end; e++) {
    const TileEntry entry = !kWide && e == tile.entry_begin ? tile.first : read_plan(step.plan.entries + e);
    // The site and the places of its rows are read together, though the site may turn out to have none.
    const RankRows* ranks = rank_rows(step, entry.tables, entry.rank_blocks, op.site[work.product]);
    const DeviceSite site = find_site(step, entry.tables, op.site[work.product]).site;
    const bool product = site.rank > 0 && site.b >= 0, factor = site.out_scale >= 0 || site.bias >= 0;
    if (!product && !factor) continue;
#pragma unroll
    for (int i = 0; i < kBlocks * 16; i++) d[i / 16][i / 4 % 4][i % 4] = 0;
    if (product) multiply<T, kAligned, kWide>(d, step, op, ranks, min(site.rank, entry.ranks), entry, work, parts, stride, waited);
    wait_once(waited);
    if (factor) factors<T, kAligned>(d, step, op, afresh(work), e);
#pragma unroll
    for (int i = 0; i < kBlocks * 16; i++) {
      float& value = d[i / 16][i / 4 % 4][i % 4];
      float* sum = sums + i * kThreads + threadIdx.x;
      value *= entry.weight;
      if (touched) value += *sum;
      if (e + 1 < tile.entry_end) *sum = value;
    }
    touched = true;
  }
  if (!touched) return;
  const Work last = afresh(work);
#pragma unroll
  for (int block = 0; block < kBlocks; block++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int32_t out = last.out + 32 * block + 8 * c, end = last.has(half) ? last.outs : 0;
      Words v = read8<kAligned, Reuse::written>(last.y(op, half), out, end);
#pragma unroll
      for (int n = 0; n < 4; n++)
        v.w[n] = pack<T>(element<T>(v, 2 * n) + d[block][n][2 * half], element<T>(v, 2 * n + 1) + d[block][n][2 * half + 1]);
      write8<kAligned>(last.y(op, half), out, end, v);
    }
  }
}

// Outputs of a block's unit of work. Narrow: a group of outputs for each warp. Wide: `groups` of them one after the other, all warps the same.
template <bool kWide>
__host__ __device__ constexpr int32_t unit_outs(int32_t groups) {
  return (kWide ? groups : kWarps) * kWarpOuts;
}

// kWide: a unit is 64 rows, a warp 16 rows of them. Otherwise up to 16 rows.
template <class T, bool kAligned, bool kWide>
__global__ void __launch_bounds__(kThreads, kResident) expand_all(const __grid_constant__ AdapterStep step, const __grid_constant__ LoraOp op,
                                                                  int32_t parts, int32_t stride, int32_t groups) {
  __shared__ float sums[kBlocks * 16 * kThreads];
  const int warp = threadIdx.x / 32;
  const int32_t width = unit_outs<kWide>(groups);
  int32_t spans = 0;
  for (int p = 0; p < op.products; p++) spans += (static_cast<int32_t>(op.out[p]) + width - 1) / width;
  const PlanCounts* counts = step.plan.counts;
  const Tile* tiles = step.plan.tiles + (kWide ? counts->narrow_tiles : 0);
  int32_t unit = blockIdx.x;
  Tile tile;
  if (!kWide) tile = read_plan(tiles + unit / spans);  // as in the shrink: read before it is known to be one of the plan's
  const int32_t units = (kWide ? counts->wide_tiles : counts->narrow_tiles) * spans;
  bool waited = false;
  for (; unit < units; unit += gridDim.x) {
    if (kWide || unit != static_cast<int32_t>(blockIdx.x)) tile = read_plan(tiles + unit / spans);
    int32_t span = unit % spans;
    Work work;
    work.product = 0;
    for (;;) {
      const int32_t here = (static_cast<int32_t>(op.out[work.product]) + width - 1) / width;
      if (span < here) break;
      span -= here;
      work.product++;
    }
    work.row = tile.row;
    work.tile_rows = tile.rows;
    work.first_row = kWide ? warp * kNarrowRows : 0;
    work.rows = min(tile.rows - work.first_row, kNarrowRows);
    work.outs = static_cast<int32_t>(op.out[work.product]);
    work.out = span * width + (kWide ? 0 : warp * kWarpOuts);
    if (work.rows <= 0) continue;
    const int32_t end = kWide ? min(work.outs, work.out + width) : min(work.outs, work.out + 1);
    for (; work.out < end; work.out += kWarpOuts) expand<T, kAligned, kWide>(step, op, work, tile, parts, stride, sums, waited);
  }
  wait_once(waited);
}

template <bool kWide>
int launch_expand(const AdapterStep& step, const LoraOp& op, const Launch& launch, int32_t tiles, int32_t parts, bool overlap) {
  const auto units = [&](int32_t groups) {
    int64_t spans = 0;
    for (int p = 0; p < op.products; p++) spans += (op.out[p] + unit_outs<kWide>(groups) - 1) / unit_outs<kWide>(groups);
    return spans * tiles;
  };
  bool aligned = op.y_stride % 8 == 0;
  for (int p = 0; p < op.products; p++) aligned = aligned && op.out[p] % 8 == 0;
  // A wide block that stays with its rows finds their h in L1 from the second group of outputs on; worth it while every block still has several units.
  const int64_t enough = static_cast<int64_t>(launch.multiprocessors) * kResident * 2;
  const int32_t groups = !kWide ? 1 : units(4) >= enough ? 4 : units(2) >= enough ? 2 : 1;
  return with_type(step.dtype, [&](auto type) {
    using T = decltype(type);
    return launch_kernel(aligned ? expand_all<T, true, kWide> : expand_all<T, false, kWide>,
                         Grid{grid_blocks(units(groups), launch, kResident), kThreads, overlap, launch.stream}, step, op, parts,
                         static_cast<int32_t>(lora_chunks(op.in)), groups);
  });
}

}  // namespace

int lora_expand(const AdapterStep& step, const LoraOp& op, const Launch& launch) {
  const PlanCounts& counts = launch.counts;
  int error = 0;
  // Only the kernel directly after a shrink of this op may start early: what it waits for has itself waited for all before it.
  bool overlap = launch.overlap && counts.narrow_works + counts.wide_works > 0;
  if (counts.narrow_tiles > 0) {
    error = launch_expand<false>(step, op, launch, counts.narrow_tiles, static_cast<int32_t>(lora_chunks(op.in)), overlap);
    overlap = false;
  }
  if (counts.wide_tiles > 0 && error == 0) error = launch_expand<true>(step, op, launch, counts.wide_tiles, lora_wide_splits(op, launch), overlap);
  return error;
}

int batched_lora(const AdapterStep& step, const LoraOp& op, const Launch& launch) {
  int error = lora_shrink(step, op, launch);
  if (error == 0) error = lora_expand(step, op, launch);
  if (error == 0 && launch.counts.direct_tiles > 0) error = lora_direct(step, op, launch);
  return error;
}

}  // namespace lorikeet::cuda
