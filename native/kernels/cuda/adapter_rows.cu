// The two places where an adapter acts outside a product: scaling a projection's input (IA3 on feed-forward layers), and the embedding table.
#include "site.cuh"

namespace lorikeet::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * 32;
constexpr int kSpan = 256;  // elements of a row that a warp covers, eight a lane

// A warp's place: unit → (tile, span of the row); rows of the tile are dealt to the block's warps in turn.
struct Place {
  Tile tile;
  int32_t at;
};

__device__ Place place_of(const PlanView& plan, int32_t unit, int32_t spans) {
  return {plan.tiles[unit / spans], static_cast<int32_t>(unit % spans * kSpan + threadIdx.x % 32 * 8)};
}

template <class T, bool kAligned>
__global__ void __launch_bounds__(kThreads) scale_rows(const __grid_constant__ AdapterStep step, uint16_t* x, int32_t in, int32_t site) {
  const int32_t spans = (in + kSpan - 1) / kSpan;
  const int32_t units = (step.plan.counts->narrow_tiles + step.plan.counts->wide_tiles) * spans;
  for (int32_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const Place place = place_of(step.plan, unit, spans);
    bool touched = false;
    float factor[8];  // x ← x · factor: 1 + Σ w (in_scale − 1)
#pragma unroll
    for (int i = 0; i < 8; i++) factor[i] = 1;
    for (int32_t e = place.tile.entry_begin; e < place.tile.entry_end; e++) {
      const TileEntry entry = read_plan(step.plan.entries + e);
      const SiteRows at = find_site(step, entry.tables, site);
      const float* scale = at.floats(at.site.in_scale);
      if (!scale) continue;
      touched = true;
      float s[8];
      read8_floats<kAligned>(s, scale, place.at, in);
#pragma unroll
      for (int i = 0; i < 8; i++) factor[i] += entry.weight * (s[i] - 1);
    }
    if (!touched) continue;
    for (int32_t row = threadIdx.x / 32; row < place.tile.rows; row += kWarps) {
      uint16_t* to = x + static_cast<int64_t>(place.tile.row + row) * in;
      Words v = read8<kAligned, Reuse::written>(to, place.at, in);
#pragma unroll
      for (int i = 0; i < 4; i++) v.w[i] = pack<T>(element<T>(v, 2 * i) * factor[2 * i], element<T>(v, 2 * i + 1) * factor[2 * i + 1]);
      write8<kAligned>(to, place.at, in, v);
    }
  }
}

// sum += w · Σ_j A[j][id] · B[j][at..at+8), ranks in order.
template <class T, bool kAligned>
__device__ void add_low_rank(float (&sum)[8], const SiteRows& at, const TileEntry& entry, int32_t id, int32_t place, int32_t hidden) {
  float change[8] = {};
#pragma unroll 2
  for (int32_t j = 0; j < min(at.site.rank, entry.ranks); j++) {
    const float h = T::decode(at.row(at.site.a + j)[id]);
    const Words b = read8<kAligned, Reuse::block>(at.row(at.site.b + j), place, hidden);
#pragma unroll
    for (int i = 0; i < 8; i++) change[i] += h * element<T>(b, i);
  }
#pragma unroll
  for (int i = 0; i < 8; i++) sum[i] += entry.weight * change[i];
}

// sum += w · (the row of token `id`, if the adapter has one).
template <class T, bool kAligned>
__device__ bool add_row(float (&sum)[8], const SiteRows& at, float weight, int32_t id, int32_t place, int32_t hidden) {
  int32_t j = id;
  if (at.site.index >= 0) {
    const int32_t* index = at.integers(at.site.index);
    int32_t low = 0, high = at.site.rank;
    while (low < high) {
      const int32_t middle = (low + high) / 2;
      if (index[middle] < id) low = middle + 1;
      else high = middle;
    }
    j = low < at.site.rank && index[low] == id ? low : -1;
  }
  if (j < 0 || j >= at.site.rank) return false;
  const Words v = read8<kAligned, Reuse::block>(at.row(at.site.a + j), place, hidden);
#pragma unroll
  for (int i = 0; i < 8; i++) sum[i] += weight * element<T>(v, i);
  return true;
}

template <class T, bool kAligned>
__global__ void __launch_bounds__(kThreads, 4) embed(const __grid_constant__ AdapterStep step, const int32_t* ids, uint16_t* e, int32_t vocabulary,
                                                  int32_t hidden, int32_t site, int32_t added_site) {
  const int32_t spans = (hidden + kSpan - 1) / kSpan;
  const int32_t units = (step.plan.counts->narrow_tiles + step.plan.counts->wide_tiles) * spans;
  for (int32_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const Place place = place_of(step.plan, unit, spans);
    for (int32_t row = threadIdx.x / 32; row < place.tile.rows; row += kWarps) {
      const int32_t given = ids[place.tile.row + row];
      const bool added = added_site >= 0 && given >= vocabulary;  // the table holds zeros for it
      const int32_t id = added ? given - vocabulary : given;
      bool touched = false;
      float sum[8] = {};
      for (int32_t n = place.tile.entry_begin; n < place.tile.entry_end; n++) {
        const TileEntry entry = read_plan(step.plan.entries + n);
        const SiteRows at = find_site(step, entry.tables, added ? added_site : site);
        if (at.site.rank <= 0) continue;
        if (at.site.b < 0) {
          touched |= add_row<T, kAligned>(sum, at, entry.weight, id, place.at, hidden);
        } else if (!added && id >= 0 && id < vocabulary) {
          add_low_rank<T, kAligned>(sum, at, entry, id, place.at, hidden);
          touched = true;
        }
      }
      if (!touched) continue;
      uint16_t* to = e + static_cast<int64_t>(place.tile.row + row) * hidden;
      Words v = read8<kAligned, Reuse::written>(to, place.at, hidden);
#pragma unroll
      for (int i = 0; i < 4; i++) v.w[i] = pack<T>(element<T>(v, 2 * i) + sum[2 * i], element<T>(v, 2 * i + 1) + sum[2 * i + 1]);
      write8<kAligned>(to, place.at, hidden, v);
    }
  }
}

uint32_t blocks_for(int64_t width, const Launch& launch) {
  const int64_t tiles = launch.counts.narrow_tiles + launch.counts.wide_tiles;
  return grid_blocks(tiles * ((width + kSpan - 1) / kSpan), launch, 8);
}

}  // namespace

int scale_input(const AdapterStep& step, void* x, int64_t in, int32_t site, const Launch& launch) {
  const uint32_t blocks = blocks_for(in, launch);
  if (blocks == 0) return 0;
  return with_type(step.dtype, [&](auto type) {
    using T = decltype(type);
    return launch_kernel(in % 8 == 0 ? scale_rows<T, true> : scale_rows<T, false>, Grid{blocks, kThreads, false, launch.stream}, step,
                         static_cast<uint16_t*>(x), static_cast<int32_t>(in), site);
  });
}

int batched_embedding(const AdapterStep& step, const int32_t* ids, void* e, int64_t vocabulary, int64_t hidden, int32_t site, int32_t added_site,
                      const Launch& launch) {
  const uint32_t blocks = blocks_for(hidden, launch);
  if (blocks == 0) return 0;
  return with_type(step.dtype, [&](auto type) {
    using T = decltype(type);
    return launch_kernel(hidden % 8 == 0 ? embed<T, true> : embed<T, false>, Grid{blocks, kThreads, false, launch.stream}, step, ids,
                         static_cast<uint16_t*>(e), static_cast<int32_t>(vocabulary), static_cast<int32_t>(hidden), site, added_site);
  });
}

}  // namespace lorikeet::cuda
