// A product of all tiles with all rows: the rows are rounded and laid out once, then each thread takes runs of tiles, whose weights it reads from memory once.
#pragma once
#include <algorithm>
#include <array>
#include <utility>
#include "parallel.h"
#include "linear_tile.h"

namespace lorikeet::LORIKEET_ISA {

// Elements of x below which one thread lays them out: waking others costs more.
constexpr int64_t kWorthSharing = 16384;
// Runs of tiles for each thread: a thread that others on the machine hold up takes fewer.
constexpr int64_t kRunsPerThread = 4;

template <WeightForm form>
struct LinearJob {
  const LinearArgs* args;
  uint32_t* x;
  int64_t blocks, words, tiles, runs;  // words: of one row; tiles: of all products

  // Blocks differ by one row at most.
  int64_t first_row(int64_t block) const { return args->rows * block / blocks; }
};

template <WeightForm form>
inline void put_block(void* data, size_t index) {
  const auto& job = *static_cast<const LinearJob<form>*>(data);
  const auto block = static_cast<int64_t>(index);
  const int64_t first = job.first_row(block), n = job.first_row(block + 1) - first;
  for (int64_t r = 0; r < n; r++)
    put_row<form>(job.args->x + (first + r) * job.args->x_stride, job.args->shape[0].in, job.x + first * job.words + r, n);
}

// Where weights are fetched before they are read. With several blocks of rows: the next tile, while this one lies in a cache. With one: this far ahead, as the
// processor's own prefetching ends at each page of memory and is late where much is computed with each weight; it serves best where a single row reads plain
// bytes. (Measured: 4 rows of int4 39 GB/s instead of 32, 32 rows of int8 a third faster.)
constexpr int64_t kAheadBytes = 8192;

inline Ahead ahead_of(const uint8_t* tile, const LinearLayout& layout, int64_t rows, int64_t block, int64_t blocks) {
  const int64_t lines = (layout.group_bytes() + 63) / 64, share = (lines + blocks - 1) / blocks;
  if (blocks > 1) return {tile + layout.tile_bytes() + block * share * 64 * layout.groups, share};
  return {tile + kAheadBytes, rows > 1 || layout.form == WeightForm::int4 || layout.form == WeightForm::uint4 ? lines : 0};
}

using TileProduct = void (*)(const uint8_t*, const uint32_t*, const LinearLayout&, Ahead, const TileTarget&);

template <WeightForm form, size_t... I>
constexpr std::array<TileProduct, sizeof...(I)> tile_products(std::index_sequence<I...>) {
  return {tile_product<form, static_cast<int>(I) + 1>...};
}

template <WeightForm form>
inline void run_tiles(void* data, size_t index) {
  static constexpr auto kProducts = tile_products<form>(std::make_index_sequence<kBlockRows<form>>());
  const auto& job = *static_cast<const LinearJob<form>*>(data);
  const LinearArgs& args = *job.args;
  const auto run = static_cast<int64_t>(index);
  const int64_t end = job.tiles * (run + 1) / job.runs;
  int64_t before = 0, tile = job.tiles * run / job.runs;  // before: tiles of the products before p
  for (int32_t p = 0; p < args.products && tile < end; p++) {
    const LinearLayout layout(args.shape[p], kTileWidth);
    for (; tile < std::min(end, before + layout.tiles); tile++) {
      const int64_t t = tile - before, column = t * kTileWidth;
      const uint8_t* weights = static_cast<const uint8_t*>(args.packed[p]) + t * layout.tile_bytes();
      for (int64_t block = 0; block < job.blocks; block++) {
        const int64_t first = job.first_row(block), n = job.first_row(block + 1) - first;
        kProducts[static_cast<size_t>(n - 1)](weights, job.x + first * job.words, layout, ahead_of(weights, layout, args.rows, block, job.blocks),
                                              {args.y[p] + first * args.y_stride[p] + column, args.y_stride[p], args.shape[p].out - column,
                                               args.bias[p] ? args.bias[p] + column : nullptr});
      }
    }
    before += layout.tiles;
  }
}

// Rows whose inputs are laid out at once: so many that reading the weights anew for the next ones costs little beside the arithmetic, and so few that their inputs
// lie in a cache and the memory kept for them stays small (15 MB for float32 inputs of 14,336).
constexpr int64_t kRowsAtOnce = 256;

template <WeightForm form>
inline void linear_rows(const LinearArgs& args, const Parallel& parallel) {
  const int64_t in = args.shape[0].in, groups = (in + kLinearGroup - 1) / kLinearGroup;
  LinearJob<form> job{};
  job.args = &args;
  job.blocks = (args.rows + kBlockRows<form> - 1) / kBlockRows<form>;
  job.words = groups * kGroupWords<form>;
  job.x = scratch<uint32_t>(Scratch::linear, static_cast<size_t>(args.rows * job.words));
  int64_t outputs = 0;
  for (int32_t p = 0; p < args.products; p++) {
    job.tiles += LinearLayout(args.shape[p], kTileWidth).tiles;
    outputs += args.shape[p].out;
  }
  const int64_t elements = args.rows * in;
  parallel_for(parallel, put_block<form>, static_cast<size_t>(job.blocks), &job, elements < kWorthSharing ? 0 : kWorthThreads);
  job.runs = std::min(job.tiles, parallel.threads * kRunsPerThread);
  parallel_for(parallel, run_tiles<form>, static_cast<size_t>(job.runs), &job, elements * outputs);
}

template <WeightForm form>
inline void linear_of(const LinearArgs& args, const Parallel& parallel) {
  for (int64_t first = 0; first < args.rows; first += kRowsAtOnce) {
    LinearArgs some = args;
    some.rows = std::min(kRowsAtOnce, args.rows - first);
    some.x += first * args.x_stride;
    for (int32_t p = 0; p < args.products; p++) some.y[p] += first * args.y_stride[p];
    linear_rows<form>(some, parallel);
  }
}

inline void linear(const LinearArgs& args, const Parallel& parallel) {
  if (args.rows <= 0 || args.products <= 0) return;
  switch (args.shape[0].form) {
    case WeightForm::bf16: return linear_of<WeightForm::bf16>(args, parallel);
    case WeightForm::f16: return linear_of<WeightForm::f16>(args, parallel);
    case WeightForm::int8: return linear_of<WeightForm::int8>(args, parallel);
    case WeightForm::int4: return linear_of<WeightForm::int4>(args, parallel);
    case WeightForm::uint4: return linear_of<WeightForm::uint4>(args, parallel);
    case WeightForm::uint8: return linear_of<WeightForm::uint8>(args, parallel);
  }
}

}  // namespace lorikeet::LORIKEET_ISA
