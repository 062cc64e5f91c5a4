// Activations as the tiles' products read them: blocks of up to kRows rows, in words of 4 bytes, word by word for all rows of the block. A block's rows [first,
// first + n) begin at word first · words(in); its word u of row r lies at u · n + r. Groups of 32 inputs follow one another:
//   int8   8 steps of Bytes::kUnits words, then the rows' scale (float32), then −128 · Σ q (int32), which takes the weights' offset back
//   int4   the same with scale · Σ q (float32) at the end, which the groups' least values are multiplied with; uint4 and uint8 likewise, their zero points
//   bf16   16 pairs of Pairs::kUnits words
//   f16    32 float32
#pragma once
#include "linear_round.h"

namespace lorikeet::LORIKEET_ISA {

template <WeightForm form>
constexpr int kGroupWords = form == WeightForm::f16    ? 32
                            : form == WeightForm::bf16 ? 16 * Pairs::kUnits
                                                       : 8 * Bytes::kUnits + 2;

// x: [32] inputs of one row; to: its first word, the next n words further.
template <WeightForm form>
inline void put_group(const float* x, uint32_t* to, int64_t n) {
  if constexpr (form == WeightForm::f16) {
    put_floats(x, to, n);
  } else if constexpr (form == WeightForm::bf16) {
    Pairs::put(x, to, n);
  } else {
    int32_t sum = 0;
    const float scale = Bytes::round_and_put(x, to, n, sum);
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
