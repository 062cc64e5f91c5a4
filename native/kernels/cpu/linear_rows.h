// Activations as the tiles' products read them: blocks of up to kRows rows, in words of 4 bytes, word by word for all rows of the block. A block's rows [first,
// first + n) begin at word first · words(in); its word u of row r lies at u · n + r. Groups of 32 inputs follow one another:
//   int8   8 steps of Bytes::kUnits words, then the rows' scale (float32), then −128 · Σ q (int32), which takes the weights' offset back
//   int4   the same with scale · Σ q (float32) at the end, which the groups' least values are multiplied with
//   bf16   16 pairs of Pairs::kUnits words
//   f16    32 float32
#pragma once
#include <cstring>
#include <limits>
#include "../../numeric/half.h"
#include "../linear.h"

namespace lorikeet::LORIKEET_ISA {

template <WeightForm form>
constexpr int kGroupWords = form == WeightForm::f16    ? 32
                            : form == WeightForm::bf16 ? 16 * Pairs::kUnits
                                                       : 8 * Bytes::kUnits + 2;

// q[i] = round(x[i] / scale), scale = max |x| / 127; returns the scale. NaN where a value is NaN or infinite; zero where all are too small for an inverse
// (their products are then below 1e-28, and count for nothing).
inline float round_group(const float* x, int32_t (&q)[kLinearGroup]) {
  int32_t most = 0;
  for (int i = 0; i < kLinearGroup; i++) most = std::max(most, bits_as<int32_t>(x[i]) & 0x7fffffff);
  if (most >= 0x7f800000 || most < bits_as<int32_t>(1e-30f)) {
    for (int i = 0; i < kLinearGroup; i++) q[i] = 0;
    return most >= 0x7f800000 ? std::numeric_limits<float>::quiet_NaN() : 0;
  }
  const float inverse = 127 / bits_as<float>(most);
  // Adding 1.5 · 2^23 leaves no bit for a fraction, and the integer in the low bits: to nearest even.
  for (int i = 0; i < kLinearGroup; i++) q[i] = bits_as<int32_t>(x[i] * inverse + 0x1.8p23f) - bits_as<int32_t>(0x1.8p23f);
  return bits_as<float>(most) / 127;
}

// x: [32] inputs of one row; to: its first word, the next n words further.
template <WeightForm form>
inline void put_group(const float* x, uint32_t* to, int64_t n) {
  if constexpr (form == WeightForm::f16) {
    for (int i = 0; i < kLinearGroup; i++) to[i * n] = bits_as<uint32_t>(x[i]);
  } else if constexpr (form == WeightForm::bf16) {
    for (int p = 0; p < kLinearGroup / 2; p++) Pairs::put(x + 2 * p, to + p * Pairs::kUnits * n, n);
  } else {
    int32_t q[kLinearGroup], sum = 0;
    const float scale = round_group(x, q);
    for (int i = 0; i < kLinearGroup; i++) sum += q[i];
    for (int s = 0; s < 8; s++) Bytes::put(q + 4 * s, to + s * Bytes::kUnits * n, n);
    uint32_t* end = to + 8 * Bytes::kUnits * n;
    end[0] = bits_as<uint32_t>(scale);
    end[n] = form == WeightForm::int8 ? static_cast<uint32_t>(-128 * sum) : bits_as<uint32_t>(scale * static_cast<float>(sum));
  }
}

// One row of `in` inputs.
template <WeightForm form>
inline void put_row(const float* x, int64_t in, uint32_t* to, int64_t n) {
  int64_t i = 0;
  for (; i + kLinearGroup <= in; i += kLinearGroup, to += kGroupWords<form> * n) put_group<form>(x + i, to, n);
  if (i == in) return;
  float last[kLinearGroup] = {};
  std::memcpy(last, x + i, static_cast<size_t>(in - i) * sizeof(float));
  put_group<form>(last, to, n);
}

}  // namespace lorikeet::LORIKEET_ISA
