// Groups of bytes and of bfloat16 with NEON's matrix instructions: USMMLA and BFMMLA multiply 8 bytes or 4 bfloat16 of two outputs with those of two rows, and add
// to a block [o0·r0, o0·r1, o1·r0, o1·r1]. An output's inputs lie in steps of 8 bytes for them (linear_layout.h). A last row without a second one is multiplied with
// itself, by the same instructions in the same order: so its bits are those that it has in a pair.
#pragma once

namespace lorikeet::LORIKEET_ISA {

// Rows 2p and 2p + 1 of words a and b that follow each other: [row 2p: a b] [row 2p + 1: a b]. Behind a last odd row stands itself.
template <int R>
inline __attribute__((always_inline)) uint32x4_t row_pair(const Words<R>& a, const Words<R>& b, int p) {
  return p % 2 == 0 ? vzip1q_u32(a.v[p / 2], b.v[p / 2]) : vzip2q_u32(a.v[p / 2], b.v[p / 2]);
}

// blocks[p][b] += weights of outputs 2b and 2b + 1 with rows 2p and 2p + 1.
LORIKEET_GROUP add_blocks(const uint8x16_t (&w)[2 * C], const uint32_t* x, int32x4_t (&blocks)[(R + 1) / 2][2 * C]) {
  const Words<R> first(x), second(x + R);
  LORIKEET_UNROLL
  for (int p = 0; p < (R + 1) / 2; p++) {
    const int8x16_t rows = vreinterpretq_s8_u32(row_pair<R>(first, second, p));
    LORIKEET_UNROLL
    for (int b = 0; b < 2 * C; b++) blocks[p][b] = vusmmlaq_s32(blocks[p][b], w[b], rows);
  }
}

LORIKEET_GROUP take(const int32x4_t (&blocks)[(R + 1) / 2][2 * C], int32x4_t (&whole)[R][C]) {
  LORIKEET_UNROLL
  for (int r = 0; r < R; r++)
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) whole[r][c] = r % 2 == 0 ? vuzp1q_s32(blocks[r / 2][2 * c], blocks[r / 2][2 * c + 1]) : vuzp2q_s32(blocks[r / 2][2 * c], blocks[r / 2][2 * c + 1]);
}

// blocks += the products of a group's bytes.
LORIKEET_GROUP add_eights(const uint8_t* eights, const uint32_t* x, int32x4_t (&blocks)[(R + 1) / 2][2 * C]) {
  constexpr int B = 2 * C;
  LORIKEET_UNROLL
  for (int e = 0; e < 4; e++) {
    uint8x16_t w[B];
    LORIKEET_UNROLL
    for (int b = 0; b < B; b++) w[b] = vld1q_u8(eights + (e * B + b) * 16);
    add_blocks<R, C>(w, x + 2 * e * R, blocks);
  }
}

LORIKEET_GROUP add_bytes(const uint8_t* group, const uint32_t* x, Vec (&acc)[R][C]) {
  constexpr int P = (R + 1) / 2, B = 2 * C;
  int32x4_t blocks[P][B], whole[R][C];
  const Words<R> offsets(x + 9 * R);  // of rows 2p and 2p + 1, for both outputs
  LORIKEET_UNROLL
  for (int p = 0; p < P; p++)
    LORIKEET_UNROLL
    for (int b = 0; b < B; b++) {
      const int64x2_t two = vreinterpretq_s64_u32(offsets.v[p / 2]);
      blocks[p][b] = vreinterpretq_s32_s64(p % 2 == 0 ? vdupq_laneq_s64(two, 0) : vdupq_laneq_s64(two, 1));
    }
  add_eights<R, C>(group, x, blocks);
  take<R, C>(blocks, whole);
  add_scaled<R, C>(whole, x + 8 * R, acc);
}

LORIKEET_GROUP clear(int32x4_t (&blocks)[(R + 1) / 2][2 * C]) {
  LORIKEET_UNROLL
  for (int p = 0; p < (R + 1) / 2; p++)
    LORIKEET_UNROLL
    for (int b = 0; b < 2 * C; b++) blocks[p][b] = vdupq_n_s32(0);
}

LORIKEET_GROUP add_zeroed_bytes(const uint8_t* group, const uint32_t* x, Vec (&acc)[R][C]) {
  int32x4_t blocks[(R + 1) / 2][2 * C], whole[R][C];
  clear<R, C>(blocks);
  add_eights<R, C>(group + 4 * C * Vec::N, x, blocks);
  take<R, C>(blocks, whole);
  add_scaled_pairs<true, 0, R, C>(whole, group, x + 8 * R, x + 9 * R, acc);
}

template <bool zeros, int R, int C>
inline __attribute__((always_inline)) void add_halves(const uint8_t* group, const uint32_t* x, Vec (&acc)[R][C]) {
  constexpr int B = 2 * C;
  int32x4_t blocks[(R + 1) / 2][B], whole[R][C];
  const uint8_t* eights = group + 4 * C * Vec::N;
  clear<R, C>(blocks);
  LORIKEET_UNROLL
  for (int e = 0; e < 2; e++) {
    uint8x16_t low[B], high[B];
    LORIKEET_UNROLL
    for (int b = 0; b < B; b++) {
      const uint8x16_t both = vld1q_u8(eights + (e * B + b) * 16);
      low[b] = vandq_u8(both, vdupq_n_u8(15));
      high[b] = vshrq_n_u8(both, 4);
    }
    add_blocks<R, C>(low, x + 2 * e * R, blocks);
    add_blocks<R, C>(high, x + (2 * e + 4) * R, blocks);
  }
  take<R, C>(blocks, whole);
  add_scaled_pairs<zeros, 0, R, C>(whole, group, x + 8 * R, x + 9 * R, acc);
}

// Between groups, acc holds the blocks of rows 2p and 2p + 1, in the order of acc[2p] and then acc[2p + 1]; of a last odd row, its sums.
LORIKEET_GROUP add_pairs(const uint8_t* group, const uint32_t* x, Vec (&acc)[R][C]) {
  constexpr int P = R / 2, B = 2 * C;
  float32x4_t last[B];
  if constexpr (R % 2)
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) {
      last[2 * c] = vzip1q_f32(acc[R - 1][c].v, acc[R - 1][c].v);
      last[2 * c + 1] = vzip2q_f32(acc[R - 1][c].v, acc[R - 1][c].v);
    }
  for (int e = 0; e < 8; e++) {
    bfloat16x8_t w[B];
    LORIKEET_UNROLL
    for (int b = 0; b < B; b++) w[b] = vreinterpretq_bf16_u8(vld1q_u8(group + (e * B + b) * 16));
    const Words<R> first(x + 2 * e * R), second(x + (2 * e + 1) * R);
    LORIKEET_UNROLL
    for (int p = 0; p < P; p++) {
      const bfloat16x8_t rows = vreinterpretq_bf16_u32(row_pair<R>(first, second, p));
      LORIKEET_UNROLL
      for (int b = 0; b < B; b++) acc[2 * p + b / C][b % C].v = vbfmmlaq_f32(acc[2 * p + b / C][b % C].v, w[b], rows);
    }
    if constexpr (R % 2) {
      const bfloat16x8_t row = vreinterpretq_bf16_u32(row_pair<R>(first, second, P));
      LORIKEET_UNROLL
      for (int b = 0; b < B; b++) last[b] = vbfmmlaq_f32(last[b], w[b], row);
    }
  }
  if constexpr (R % 2)
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) acc[R - 1][c].v = vuzp1q_f32(last[2 * c], last[2 * c + 1]);
}

// After the last group: blocks become rows.
LORIKEET_GROUP settle_pairs(Vec (&acc)[R][C]) {
  LORIKEET_UNROLL
  for (int p = 0; p < R / 2; p++) {
    float32x4_t blocks[2 * C];
    LORIKEET_UNROLL
    for (int b = 0; b < 2 * C; b++) blocks[b] = acc[2 * p + b / C][b % C].v;
    LORIKEET_UNROLL
    for (int c = 0; c < C; c++) {
      acc[2 * p][c].v = vuzp1q_f32(blocks[2 * c], blocks[2 * c + 1]);
      acc[2 * p + 1][c].v = vuzp2q_f32(blocks[2 * c], blocks[2 * c + 1]);
    }
  }
}

}  // namespace lorikeet::LORIKEET_ISA
