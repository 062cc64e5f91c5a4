// The product of one tile of weights with one block of rows, in registers: kTileVectors vectors of outputs, R rows. Each output of a row is summed in the same
// order whatever R is.
#pragma once
#include "linear_layout.h"
#include "linear_rows.h"
#include "unroll.h"

namespace lorikeet::LORIKEET_ISA {

constexpr int kTileVectors = 2, kTileWidth = kTileVectors * Vec::N;
static_assert(kLinearTile % kTileWidth == 0);

// Rows of a block at most: as many as there are registers for. Integer sums need a float sum beside each, pairs of bfloat16 two vectors of weights.
template <WeightForm form>
constexpr int kBlockRows = rounds_inputs(form) ? Bytes::kRows
                           : Vec::registers >= 32                               ? 12
                           : form == WeightForm::bf16                           ? 5
                                                                                : 6;

// Weights that will be wanted soon: `lines` cache lines from `at` on for each group that is worked on. They may lie behind the last weight.
struct Ahead {
  const uint8_t* at;
  int64_t lines;
};

inline Vec spread_float(const uint32_t* word) { return Vec::set(bits_as<float>(*word)); }

#if !defined(LORIKEET_OWN_GROUPS)  // NEON brings its own: group_neon.h
// What one group of 32 inputs adds to acc[r][c], the sums of rows r and outputs c · Vec::N …. Shape: group and x as linear_layout.h and linear_rows.h have them.
#define LORIKEET_GROUP template <int R> inline __attribute__((always_inline)) void

LORIKEET_GROUP add_floats(const uint8_t* group, const uint32_t* x, Vec (&acc)[R][kTileVectors]) {
  constexpr int C = kTileVectors;
  for (int k = 0; k < kLinearGroup; k++) {
    Vec w[C];
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) w[c] = Vec::load_f16(reinterpret_cast<const uint16_t*>(group) + k * kTileWidth + c * Vec::N);
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++) {
      const Vec xr = spread_float(x + k * R + r);
      LORIKEET_UNROLL
      for (int c = 0; c < C; c++) acc[r][c] = Vec::fma(xr, w[c], acc[r][c]);
    }
  }
}

LORIKEET_GROUP add_pairs(const uint8_t* group, const uint32_t* x, Vec (&acc)[R][kTileVectors]) {
  constexpr int C = kTileVectors;
  for (int p = 0; p < kLinearGroup / 2; p++) {
    Pairs::Weights w[C];
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) w[c] = Pairs::load(group + (p * C + c) * 4 * Vec::N);
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++) {
      const Pairs::Inputs xr = Pairs::spread(x + p * Pairs::kUnits * R + r, R);
      LORIKEET_UNROLL
      for (int c = 0; c < C; c++) acc[r][c] = Pairs::dot(acc[r][c], w[c], xr);
    }
  }
}

// One step of four inputs: whole[r][c] += w[c] · x[r].
LORIKEET_GROUP add_step(const Bytes::Weights (&w)[kTileVectors], const uint32_t* x, Bytes::Sums (&whole)[R][kTileVectors]) {
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++) {
    const Bytes::Inputs xr = Bytes::spread(x + r, R);
    LORIKEET_UNROLL
    for (int c = 0; c < kTileVectors; c++) whole[r][c] = Bytes::dot(whole[r][c], w[c], xr);
  }
}

LORIKEET_GROUP add_bytes(const uint8_t* group, const uint32_t* x, Vec (&acc)[R][kTileVectors]) {
  constexpr int C = kTileVectors, kStep = Bytes::kUnits * R;
  const uint32_t* scale = x + 8 * kStep;
  const uint32_t* offset = scale + R;
  Bytes::Sums whole[R][C];
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) whole[r][c] = Bytes::start(static_cast<int32_t>(offset[r]));
  LORIKEET_UNROLL
  for (int s = 0; s < 8; s++) {
    Bytes::Weights w[C];
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) w[c] = Bytes::load(group + (s * C + c) * 4 * Vec::N);
    add_step<R>(w, x + s * kStep, whole);
  }
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) acc[r][c] = Vec::fma(Bytes::floats(whole[r][c]), spread_float(scale + r), acc[r][c]);
}

// What a group of numbers with a scale and a second number of their own adds: that number is the least value, or with `zeros` minus the zero point. scale, offset: of
// the rows, as linear_rows.h has them.
template <bool zeros, int R>
inline __attribute__((always_inline)) void add_scaled(const uint8_t* group, const uint32_t* scale, const uint32_t* offset, const Bytes::Sums (&whole)[R][kTileVectors],
                                                      Vec (&acc)[R][kTileVectors]) {
  const auto* scales = reinterpret_cast<const uint16_t*>(group);
  LORIKEET_UNROLL
  for (int c = 0; c < kTileVectors; c++) {
    const Vec factor = Vec::load_f16(scales + c * Vec::N), second = Vec::load_f16(scales + kTileWidth + c * Vec::N);
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++) {
      Vec sum = Bytes::floats(whole[r][c]) * spread_float(scale + r);
      if constexpr (zeros) sum = Vec::fma(spread_float(offset + r), second, sum);
      acc[r][c] = Vec::fma(sum, factor, acc[r][c]);
      if constexpr (!zeros) acc[r][c] = Vec::fma(spread_float(offset + r), second, acc[r][c]);
    }
  }
}

// Bytes with a zero point.
LORIKEET_GROUP add_zeroed_bytes(const uint8_t* group, const uint32_t* x, Vec (&acc)[R][kTileVectors]) {
  constexpr int C = kTileVectors, kStep = Bytes::kUnits * R;
  const uint8_t* quads = group + 4 * kTileWidth;
  Bytes::Sums whole[R][C];
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) whole[r][c] = Bytes::start(0);
  LORIKEET_UNROLL
  for (int s = 0; s < 8; s++) {
    Bytes::Weights w[C];
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) w[c] = Bytes::load(quads + (s * C + c) * 4 * Vec::N);
    add_step<R>(w, x + s * kStep, whole);
  }
  const uint32_t* scale = x + 8 * kStep;
  add_scaled<true, R>(group, scale, scale + R, whole, acc);
}

template <bool zeros, int R>
inline __attribute__((always_inline)) void add_halves(const uint8_t* group, const uint32_t* x, Vec (&acc)[R][kTileVectors]) {
  constexpr int C = kTileVectors, kStep = Bytes::kUnits * R;
  const uint8_t* quads = group + 4 * kTileWidth;
  Bytes::Sums whole[R][C];
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) whole[r][c] = Bytes::start(0);
  LORIKEET_UNROLL
  for (int s = 0; s < 4; s++) {
    Bytes::Weights low[C], high[C];
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) Bytes::load_halves(quads + (s * C + c) * 4 * Vec::N, low[c], high[c]);
    add_step<R>(low, x + s * kStep, whole);
    add_step<R>(high, x + (s + 4) * kStep, whole);
  }
  const uint32_t* scale = x + 8 * kStep;
  add_scaled<zeros, R>(group, scale, scale + R, whole, acc);
}
#undef LORIKEET_GROUP
#endif

// sums[r][c] = Σ over the groups.
template <WeightForm form, int R>
inline __attribute__((always_inline)) void tile_sums(const uint8_t* groups, const uint32_t* x, const LinearLayout& layout, Ahead ahead, Vec (&sums)[R][kTileVectors]) {
  Vec acc[R][kTileVectors];
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    LORIKEET_UNROLL
    for (int c = 0; c < kTileVectors; c++) acc[r][c] = Vec::set(0);
  for (int64_t g = 0; g < layout.groups; g++) {
    for (int64_t i = 0; i < ahead.lines; i++, ahead.at += 64) __builtin_prefetch(ahead.at);
    if constexpr (form == WeightForm::f16) add_floats<R>(groups, x, acc);
    if constexpr (form == WeightForm::bf16) add_pairs<R>(groups, x, acc);
    if constexpr (form == WeightForm::int8) add_bytes<R>(groups, x, acc);
    if constexpr (form == WeightForm::int4) add_halves<false, R>(groups, x, acc);
    if constexpr (form == WeightForm::uint4) add_halves<true, R>(groups, x, acc);
    if constexpr (form == WeightForm::uint8) add_zeroed_bytes<R>(groups, x, acc);
    groups += layout.group_bytes();
    x += kGroupWords<form> * R;
  }
#if defined(LORIKEET_NEON_MATRIX)
  if constexpr (form == WeightForm::bf16) settle_pairs<R>(acc);
#endif
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    LORIKEET_UNROLL
    for (int c = 0; c < kTileVectors; c++) sums[r][c] = acc[r][c];
}

// Where a tile's results go: y's first element of the block's first row and the tile's first output; `count` outputs are there.
struct TileTarget {
  float* y;
  int64_t stride, count;
  const float* bias;  // of the tile's first output, or null
};

// sum · head + bias: the same operations in the same order for whole and cut tiles.
inline Vec finish(Vec sum, bool scaled, Vec head, const float* bias) {
  if (scaled) sum = sum * head;
  return bias ? sum + Vec::load(bias) : sum;
}

template <WeightForm form, int R>
void tile_product(const uint8_t* tile, const uint32_t* x, const LinearLayout& layout, Ahead ahead, const TileTarget& to) {
  constexpr bool kScaled = rounds_inputs(form);
  // What is written, at the latest when the sums are there.
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    for (int64_t i = 0; i < kTileWidth; i += 16) __builtin_prefetch(to.y + r * to.stride + i, 1);
  Vec sums[R][kTileVectors];
  tile_sums<form, R>(tile + layout.head_bytes(), x, layout, ahead, sums);
  const auto* heads = reinterpret_cast<const float*>(tile);
  LORIKEET_UNROLL
  for (int c = 0; c < kTileVectors; c++) {
    const int64_t first = c * Vec::N, there = std::min<int64_t>(Vec::N, to.count - first);
    if (there <= 0) break;
    const Vec head = kScaled ? Vec::load(heads + first) : Vec::set(1);
    if (there == Vec::N) {
      const float* bias = to.bias ? to.bias + first : nullptr;
      LORIKEET_UNROLL
      for (int r = 0; r < R; r++) finish(sums[r][c], kScaled, head, bias).store(to.y + r * to.stride + first);
      continue;
    }
    float bias[Vec::N] = {}, y[Vec::N] = {};
    if (to.bias) std::copy_n(to.bias + first, there, bias);
    LORIKEET_UNROLL
    for (int r = 0; r < R; r++) {
      finish(sums[r][c], kScaled, head, to.bias ? bias : nullptr).store(y);
      std::copy_n(y, there, to.y + r * to.stride + first);
    }
  }
}

}  // namespace lorikeet::LORIKEET_ISA
