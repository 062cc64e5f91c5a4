// Shrink: h = A x for every row, adapter and product of a step.
//
// Tensor cores with the roles turned: the 16 ranks of a block are the M of the instruction, tokens its N, so that one decode row costs an eighth of
// the work and the weights go from memory straight to the registers that multiply them, 16 bytes a thread and nothing through shared memory. The
// dot product may take its elements in any order: thread c of a quad holds elements 8c..8c+7 of every 32, of weights and activations alike.
//
// Order of sums, the same in both kernels so that a row's bits do not depend on its neighbours: a quarter of a chunk in one accumulator, the four
// quarters in order, then the chunks in order (the last may be left to the expand).
#include "site.cuh"

namespace lorikeet::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * 32;
constexpr int kStep = 32;       // elements of a dot product that a quad's four 16-byte loads cover
// Blocks on a multiprocessor; the grids are as large, since a block that waits for room comes last. kOddBlocks: element by element, odd widths.
constexpr int kNarrowBlocks = 6, kWideBlocks = 3, kOddBlocks = 4;
constexpr int kPadded = 20;     // floats between the rows of `partial`: a warp's stores then fall into 32 banks

template <class T>
__device__ void multiply(float (&h)[4], const Words (&w)[2], const Words& x) {
#pragma unroll
  for (int s = 0; s < 4; s += 2) mma<T>(h, w[0].w[s], w[1].w[s], w[0].w[s + 1], w[1].w[s + 1], x.w[s], x.w[s + 1]);
}

// The expand's first rows of B, a slice of each (the 16 rows of a rank block × 1/chunks of the outputs), asked of the L2 cache: `unit` counts the same
// units as the shrink's. Memory then stays busy while the shrink adds up, the expand starts and finds its rows. Four rows a warp.
__device__ void ask_for_b(const AdapterStep& step, const LoraOp& op, int32_t unit, int32_t parts, int32_t chunks) {
  constexpr int kRows = kRankBlock / kWarps, kLine = 64;  // elements of a cache line
  const int lane = threadIdx.x % 32;
  if (lane >= kRows) return;
  const ShrinkWork work = read_plan(step.plan.works + unit / parts);
  const int32_t product = unit % parts / chunks, part = unit % parts % chunks;
  const RankRows* ranks = rank_rows(step, work.tables, work.rank_blocks, op.site[product]) + work.rank_block;
  const uint32_t row = read_only(ranks->b + threadIdx.x / 32 * kRows + lane);
  const auto out = static_cast<int32_t>(op.out[product]);
  const int32_t slice = ((out + chunks - 1) / chunks + kLine - 1) / kLine * kLine, begin = part * slice;
  const int32_t end = min(begin + slice, (out + 7) / 8 * 8);  // rows are padded to whole row units
  if (row != kNoRow && begin < end) prefetch_l2(row_at(step, row) + begin, (end - begin) * static_cast<int32_t>(sizeof(uint16_t)));
}

// One unit: a rank block of an adapter, up to 16 rows, one product, one chunk; each warp takes a quarter of the chunk. The last `prefetched` units also
// ask for rows of B, those of the first works.
template <class T, bool kAligned>
__global__ void __launch_bounds__(kThreads, kAligned ? kNarrowBlocks : kOddBlocks)
    shrink_narrow(const __grid_constant__ AdapterStep step, const __grid_constant__ LoraOp op, int32_t chunk, int32_t chunks, int32_t prefetched) {
  constexpr int kDepth = 4;  // steps whose loads are in flight together
  __shared__ float partial[kWarps][kNarrowRows][kPadded];
  release_next_kernel();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
  const int32_t parts = chunks * op.products;
  int32_t unit = blockIdx.x;
  // Read before it is known to be one of the plan's, in one go with the count: the grid is never larger than the plan's capacity.
  ShrinkWork work = read_plan(step.plan.works + unit / parts);
  const int32_t units = step.plan.counts->narrow_works * parts;
  bool waited = false;
  for (; unit < units; unit += gridDim.x, work = read_plan(step.plan.works + min(unit, units - 1) / parts)) {
    const int32_t product = unit % parts / chunks, part = unit % parts % chunks;
    const RankRows* ranks = rank_rows(step, work.tables, work.rank_blocks, op.site[product]) + work.rank_block;
    const uint32_t rows[2] = {read_only(ranks->a + g), read_only(ranks->a + g + 8)};
    if (read_only(ranks->a) == kNoRow) continue;
    const int32_t begin = part * chunk + warp * (chunk / kWarps);
    const int32_t end = min(begin + chunk / kWarps, static_cast<int32_t>(op.in));
    const uint16_t* weights[2];
    int32_t weights_end[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const bool ranked = rows[half] != kNoRow;
      weights[half] = row_at(step, ranked ? rows[half] : 0);
      weights_end[half] = ranked ? end : 0;
    }
    float h[2][4] = {};
    for (int32_t k = begin; k < end; k += kDepth * kStep) {
      Words w[kDepth][2];
#pragma unroll
      for (int s = 0; s < kDepth; s++)
#pragma unroll
        for (int half = 0; half < 2; half++) w[s][half] = read8<kAligned, Reuse::none>(weights[half], k + c * 8 + s * kStep, weights_end[half]);
      if (k == begin && unit >= units - prefetched) ask_for_b(step, op, min(unit, unit - units + prefetched), parts, chunks);
      wait_once(waited);  // weights do not depend on the kernel before this one; x does, and so does what h held
#pragma unroll
      for (int half = 0; half < 2; half++) {
        if (half == 1 && work.rows <= 8) break;
        const bool filled = g + 8 * half < work.rows;
        const uint16_t* token = static_cast<const uint16_t*>(op.x) + (work.row + (filled ? g + 8 * half : 0)) * op.in;
        Words x[kDepth];
#pragma unroll
        for (int s = 0; s < kDepth; s++) x[s] = read8<kAligned, Reuse::written>(token, k + c * 8 + s * kStep, filled ? end : 0);
#pragma unroll
        for (int s = 0; s < kDepth; s++) multiply<T>(h[half], w[s], x[s]);
      }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
      partial[warp][2 * c + i % 2][g + i / 2 * 8] = h[0][i];
      partial[warp][8 + 2 * c + i % 2][g + i / 2 * 8] = h[1][i];
    }
    __syncthreads();
    wait_once(waited);  // where this warp's quarter of the chunk was empty
    for (int i = threadIdx.x; i < work.rows * kRankBlock; i += kThreads) {
      const int row = i / kRankBlock, rank = i % kRankBlock;
      float sum = 0;
#pragma unroll
      for (int w = 0; w < kWarps; w++) sum += partial[w][row][rank];
      h_at(op, product, work.h_row + row, chunks)[part * kRankBlock + rank] = sum;
    }
    __syncthreads();
  }
  wait_once(waited);
}

// One unit: a rank block of an adapter, up to 64 rows (16 a warp), all products, so that x is read once; one chunk, or with `splits` = 1 all of them.
template <class T, bool kAligned>
__global__ void __launch_bounds__(kThreads, kWideBlocks) shrink_wide(const __grid_constant__ AdapterStep step, const __grid_constant__ LoraOp op,
                                                                  int32_t chunk, int32_t chunks, int32_t splits) {
  constexpr int kDepth = 2;
  release_next_kernel();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
  const int32_t units = step.plan.counts->wide_works * splits;
  wait_for_previous_kernel();
  for (int32_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const ShrinkWork work = read_plan(step.plan.works + step.plan.counts->narrow_works + unit / splits);
    const int32_t first_row = warp * kNarrowRows;
    if (first_row >= work.rows) continue;
    const uint16_t* weights[kMaxProducts][2];
    bool present[kMaxProducts], ranked[kMaxProducts][2];  // the product's site has this rank block; it has the thread's rows of it
#pragma unroll
    for (int p = 0; p < kMaxProducts; p++) {
      present[p] = false;
      if (p >= op.products) continue;
      const RankRows* ranks = rank_rows(step, work.tables, work.rank_blocks, op.site[p]) + work.rank_block;
      present[p] = read_only(ranks->a) != kNoRow;
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const uint32_t row = read_only(ranks->a + g + 8 * half);
        ranked[p][half] = row != kNoRow;
        weights[p][half] = row_at(step, ranked[p][half] ? row : 0);
      }
    }
    const uint16_t* tokens[2];
    bool filled[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int32_t row = first_row + g + 8 * half;
      filled[half] = row < work.rows;
      tokens[half] = static_cast<const uint16_t*>(op.x) + (work.row + (filled[half] ? row : 0)) * op.in;
    }
    float total[kMaxProducts][2][4] = {};
    for (int32_t part = unit % splits; part < chunks; part += splits) {
      float sum[kMaxProducts][2][4] = {};
      for (int quarter = 0; quarter < kWarps; quarter++) {
        const int32_t begin = part * chunk + quarter * (chunk / kWarps);
        const int32_t end = min(begin + chunk / kWarps, static_cast<int32_t>(op.in));
        float h[kMaxProducts][2][4] = {};
        for (int32_t k = begin + c * 8; k < end + c * 8; k += kDepth * kStep) {
          Words x[kDepth][2];
#pragma unroll
          for (int s = 0; s < kDepth; s++)
#pragma unroll
            for (int half = 0; half < 2; half++)
              x[s][half] = read8<kAligned, Reuse::written>(tokens[half], k + s * kStep, filled[half] ? end : 0);
#pragma unroll
          for (int p = 0; p < kMaxProducts; p++) {
            if (!present[p]) continue;
            Words w[kDepth][2];
#pragma unroll
            for (int s = 0; s < kDepth; s++)
#pragma unroll
              for (int half = 0; half < 2; half++)
                w[s][half] = read8<kAligned, Reuse::block>(weights[p][half], k + s * kStep, ranked[p][half] ? end : 0);
#pragma unroll
            for (int s = 0; s < kDepth; s++) {
              multiply<T>(h[p][0], w[s], x[s][0]);
              multiply<T>(h[p][1], w[s], x[s][1]);
            }
          }
        }
#pragma unroll
        for (int p = 0; p < kMaxProducts; p++)
#pragma unroll
          for (int i = 0; i < 8; i++) sum[p][i / 4][i % 4] += h[p][i / 4][i % 4];
      }
#pragma unroll
      for (int p = 0; p < kMaxProducts; p++)
#pragma unroll
        for (int i = 0; i < 8; i++) total[p][i / 4][i % 4] += sum[p][i / 4][i % 4];
    }
#pragma unroll
    for (int p = 0; p < kMaxProducts; p++) {
      if (!present[p]) continue;
      const int32_t part = splits > 1 ? unit % splits : 0;
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const int32_t row = first_row + i / 4 * 8 + 2 * c + i % 2;
        if (row < work.rows) h_at(op, p, work.h_row + row, chunks)[part * kRankBlock + g + i % 4 / 2 * 8] = total[p][i / 4][i % 4];
      }
    }
  }
}

}  // namespace

int64_t lora_chunk(int64_t in) {
  // 512 elements of 16 ranks are 16 KiB: enough for one block to be worth starting, small enough that one decode row makes many. At most 16 chunks,
  // since the expand adds them up again. A multiple of 128: four quarters of whole steps.
  constexpr int64_t kSmallest = 512, kMost = 16, kQuantum = kWarps * kStep;
  const int64_t even = ((in + kMost - 1) / kMost + kQuantum - 1) / kQuantum * kQuantum;
  return even > kSmallest ? even : kSmallest;
}

int64_t lora_chunks(int64_t in) { return (in + lora_chunk(in) - 1) / lora_chunk(in); }

size_t lora_scratch_bytes(int64_t in, int32_t products, int32_t h_rows) {
  return sizeof(float) * kRankBlock * lora_chunks(in) * products * h_rows;
}

int32_t lora_wide_splits(const LoraOp& op, const Launch& launch) {
  return launch.counts.wide_works >= 2 * launch.multiprocessors ? 1 : static_cast<int32_t>(lora_chunks(op.in));
}

// Works whose rows of B, all products', fit a third of an A100's or H100's L2 cache: asking for more would push out what was asked for first.
static int32_t prefetched_works(const LoraOp& op) {
  constexpr int64_t kBytes = 16 << 20;
  int64_t bytes = 0;
  for (int p = 0; p < op.products; p++) bytes += op.out[p] * kRankBlock * static_cast<int64_t>(sizeof(uint16_t));
  return static_cast<int32_t>(kBytes / bytes);
}

int lora_shrink(const AdapterStep& step, const LoraOp& op, const Launch& launch) {
  const auto chunk = static_cast<int32_t>(lora_chunk(op.in)), chunks = static_cast<int32_t>(lora_chunks(op.in));
  const bool aligned = op.in % 8 == 0;
  return with_type(step.dtype, [&](auto type) {
    using T = decltype(type);
    int error = 0;
    const int64_t narrow = static_cast<int64_t>(launch.counts.narrow_works) * chunks * op.products;
    if (narrow > 0)
      error = launch_kernel(aligned ? shrink_narrow<T, true> : shrink_narrow<T, false>,
                            Grid{grid_blocks(narrow, launch, aligned ? kNarrowBlocks : kOddBlocks), kThreads, launch.overlap, launch.stream}, step, op,
                            chunk, chunks, launch.prefetch ? prefetched_works(op) * chunks * op.products : 0);
    const int32_t splits = lora_wide_splits(op, launch);
    const int64_t wide = static_cast<int64_t>(launch.counts.wide_works) * splits;
    if (wide > 0 && error == 0)
      error = launch_kernel(aligned ? shrink_wide<T, true> : shrink_wide<T, false>,
                            Grid{grid_blocks(wide, launch, kWideBlocks), kThreads, launch.overlap && narrow == 0, launch.stream}, step, op, chunk,
                            chunks, splits);
    return error;
  });
}

}  // namespace lorikeet::cuda
