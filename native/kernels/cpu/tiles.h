// Reading and writing matrices of any float type for one instruction set: every other kernel of folding sees tiles of floats.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include "../../numeric/half.h"
#include "../matrix.h"

namespace lorikeet::LORIKEET_ISA {

template <DType type>
inline void read_run(const uint8_t* from, int64_t count, float* to) {
  int64_t i = 0;
  if constexpr (type == DType::f32) {
    std::memcpy(to, from, static_cast<size_t>(4 * count));
  } else {
    for (; i + Vec::N <= count; i += Vec::N) {
      const auto* at = reinterpret_cast<const uint16_t*>(from + 2 * i);
      (type == DType::f16 ? Vec::load_f16(at) : Vec::load_bf16(at)).store(to + i);
    }
    for (; i < count; i++) {
      uint16_t bits;
      std::memcpy(&bits, from + 2 * i, 2);
      to[i] = type == DType::f16 ? from_half(bits) : from_bfloat(bits);
    }
  }
}

// Rows that lie there as columns: runs of kRun elements of Vec::N columns are read, then transposed in registers.
template <DType type>
inline void read_columns(const Matrix& m, int64_t row, int64_t rows, int64_t column, int64_t columns, float* to, int64_t width) {
  constexpr int64_t kRun = 64;  // whole cache lines of both element sizes
  alignas(64) float runs[Vec::N][kRun] = {};
  alignas(64) float tile[Vec::N * Vec::N];
  const float* at[Vec::N];
  for (int64_t r = 0; r < rows; r += kRun) {
    const int64_t count = std::min(kRun, rows - r);
    for (int64_t c = 0; c < width; c += Vec::N) {
      for (int k = 0; k < Vec::N; k++)
        if (c + k < columns)
          read_run<type>(m.at(row + r, column + c + k), count, runs[k]);
        else
          std::fill(runs[k], runs[k] + count, 0.0f);
      for (int64_t d = 0; d < count; d += Vec::N) {
        for (int k = 0; k < Vec::N; k++) at[k] = runs[k] + d;
        if (d + Vec::N <= count) {
          transpose(at, to + (r + d) * width + c, static_cast<int>(width));
        } else {  // the last rows: what is read behind them is of an earlier run, and dropped
          transpose(at, tile, Vec::N);
          for (int64_t e = 0; e < count - d; e++) std::copy_n(tile + e * Vec::N, Vec::N, to + (r + d + e) * width + c);
        }
      }
    }
  }
}

template <DType type>
inline void read_typed(const Matrix& m, int64_t row, int64_t rows, int64_t column, int64_t columns, float* to, int64_t width) {
  if (m.column_step != 1) return read_columns<type>(m, row, rows, column, columns, to, width);
  for (int64_t r = 0; r < rows; r++) {
    read_run<type>(m.at(row + r, column), columns, to + r * width);
    std::fill(to + r * width + columns, to + (r + 1) * width, 0.0f);
  }
}

inline void read_tile(const Matrix& m, int64_t row, int64_t rows, int64_t column, int64_t columns, float* to, int64_t width) {
  if (m.dtype == DType::f32) return read_typed<DType::f32>(m, row, rows, column, columns, to, width);
  if (m.dtype == DType::f16) return read_typed<DType::f16>(m, row, rows, column, columns, to, width);
  read_typed<DType::bf16>(m, row, rows, column, columns, to, width);
}

inline void write_row(const float* from, int64_t count, float factor, DType type, uint8_t* to) {
  auto* halves = reinterpret_cast<uint16_t*>(to);  // rows of an image are aligned
  auto* floats = reinterpret_cast<float*>(to);
  if (type == DType::f32)
    for (int64_t i = 0; i < count; i++) floats[i] = from[i] * factor;
  else if (type == DType::f16)
    for (int64_t i = 0; i < count; i++) halves[i] = to_half(from[i] * factor);
  else if (type == DType::i8)
    for (int64_t i = 0; i < count; i++) {
      const float within = std::min(127.0f, std::max(-127.0f, from[i] * factor));
      to[i] = static_cast<uint8_t>(static_cast<int8_t>((within + 12582912.0f) - 12582912.0f));  // 1.5 · 2^23 leaves no bit for a fraction
    }
  else
    for (int64_t i = 0; i < count; i++) halves[i] = to_bfloat(from[i] * factor);
}

// Magnitudes compare like integers, and what is no number is above infinity: a loop without floating point, which becomes vectors.
inline float largest_magnitude(const float* values, int64_t count) {
  int32_t most = 0;
  for (int64_t i = 0; i < count; i++) most = std::max(most, bits_as<int32_t>(values[i]) & 0x7fffffff);
  return most >= 0x7f800000 ? std::numeric_limits<float>::infinity() : bits_as<float>(most);
}

}  // namespace lorikeet::LORIKEET_ISA
