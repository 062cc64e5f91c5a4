// Packs weights into tiles and reads single rows back. Compiled once for the baseline: the same bits on every machine.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include "../../numeric/half.h"
#include "linear_fit4.h"
#include "linear_layout.h"

namespace lorikeet {
namespace {

constexpr int64_t kGroup = kLinearGroup;

template <typename T>
T read_at(const uint8_t* from, int64_t i) {
  T value;
  std::memcpy(&value, from + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}
template <typename T>
void write_at(uint8_t* to, int64_t i, T value) {
  std::memcpy(to + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

// Infinite if a value is infinite or no number: magnitudes compare like integers.
float largest(const float* values, int64_t count) {
  int32_t most = 0;
  for (int64_t i = 0; i < count; i++) most = std::max(most, bits_as<int32_t>(values[i]) & 0x7fffffff);
  return most >= 0x7f800000 ? std::numeric_limits<float>::infinity() : bits_as<float>(most);
}

// The power of two that brings `most` into [1, 2); 1 for zero.
float power_of(float most) {
  if (most == 0) return 1;
  int exponent = 0;
  std::frexp(most, &exponent);
  return std::ldexp(1.0f, std::max(exponent - 1, -126));
}

// One output of a tile.
class Column {
 public:
  Column(const LinearLayout& layout, uint8_t* tile, int64_t lane, int64_t step) : layout_(layout), tile_(tile), groups_(tile + layout.head_bytes()), lane_(lane), step_(step) {}

  // row: [in], or null for an output that fills the tile up.
  void pack(const float* row, int64_t in) {
    const float most = row ? largest(row, in) : 0;
    const bool finite = std::isfinite(most);
    float inverse = 1;
    if (layout_.form == WeightForm::int8) {
      const float scale = finite ? most / 127 : std::numeric_limits<float>::quiet_NaN();
      write_at(tile_, lane_, scale);
      // Of weights too small for an inverse nothing is kept: their products are below 1e-30.
      inverse = finite && most >= 1e-30f ? 127 / most : 0;
    } else if (layout_.form == WeightForm::int4) {
      inverse = power_of(finite ? most : 0);
      write_at(tile_, lane_, finite ? inverse : std::numeric_limits<float>::quiet_NaN());
      inverse = 1 / inverse;
    }
    const bool keep = row && (finite || layout_.form == WeightForm::bf16 || layout_.form == WeightForm::f16);
    for (int64_t g = 0; g < layout_.groups; g++) {
      float values[kGroup] = {};
      const int64_t count = keep ? std::min(kGroup, in - g * kGroup) : 0;
      for (int64_t i = 0; i < count; i++) values[i] = row[g * kGroup + i];
      pack_group(values, count, inverse, groups_ + g * layout_.group_bytes());
    }
  }

  void unpack(float* row, int64_t in) const {
    const float factor = layout_.head_bytes() ? read_at<float>(tile_, lane_) : 1;
    for (int64_t g = 0; g < layout_.groups; g++) {
      float values[kGroup];
      unpack_group(groups_ + g * layout_.group_bytes(), factor, values);
      std::copy_n(values, std::min(kGroup, in - g * kGroup), row + g * kGroup);
    }
  }

 private:
  void pack_group(const float* values, int64_t count, float inverse, uint8_t* to) {
    const int64_t width = layout_.width;
    switch (layout_.form) {
      case WeightForm::bf16:
        for (int64_t i = 0; i < kGroup; i++) write_at(to, at(i, step_ / 2), to_bfloat(values[i]));
        return;
      case WeightForm::f16:
        for (int64_t i = 0; i < kGroup; i++) write_at(to, i * width + lane_, to_half(values[i]));
        return;
      case WeightForm::int8:
        for (int64_t i = 0; i < kGroup; i++)
          to[at(i, step_)] = static_cast<uint8_t>(static_cast<int>(std::nearbyint(values[i] * inverse)) + 128);
        return;
      case WeightForm::int4: {
        float scaled[kGroup];
        for (int64_t i = 0; i < kGroup; i++) scaled[i] = values[i] * inverse;
        const FourBits fit = fit_four_bits(scaled, count);
        write_at(to, lane_, fit.scale);
        write_at(to, width + lane_, fit.least);
        uint8_t* quads = to + 4 * width;
        for (int64_t i = 0; i < kGroup / 2; i++)
          quads[at(i, step_)] = static_cast<uint8_t>(fit.numbers[i] | fit.numbers[i + kGroup / 2] << 4);
        return;
      }
      case WeightForm::uint4:
      case WeightForm::uint8: return;  // of weights that are quantized already: pack_stored
    }
  }

  void unpack_group(const uint8_t* from, float factor, float* values) const {
    const int64_t width = layout_.width;
    switch (layout_.form) {
      case WeightForm::bf16:
        for (int64_t i = 0; i < kGroup; i++) values[i] = from_bfloat(read_at<uint16_t>(from, at(i, step_ / 2)));
        return;
      case WeightForm::f16:
        for (int64_t i = 0; i < kGroup; i++) values[i] = from_half(read_at<uint16_t>(from, i * width + lane_));
        return;
      case WeightForm::int8:
        for (int64_t i = 0; i < kGroup; i++) values[i] = factor * static_cast<float>(from[at(i, step_)] - 128);
        return;
      case WeightForm::int4:
      case WeightForm::uint4: {
        const float scale = from_half(read_at<uint16_t>(from, lane_)), second = from_half(read_at<uint16_t>(from, width + lane_));
        const auto value = [&](int q) { return layout_.form == WeightForm::int4 ? scale * static_cast<float>(q) + second : scale * (static_cast<float>(q) + second); };
        const uint8_t* quads = from + 4 * width;
        for (int64_t i = 0; i < kGroup / 2; i++) {
          const int both = quads[at(i, step_)];
          values[i] = value(both & 15) * factor;
          values[i + kGroup / 2] = value(both >> 4) * factor;
        }
        return;
      }
      case WeightForm::uint8: {
        const float scale = from_half(read_at<uint16_t>(from, lane_)), zero = from_half(read_at<uint16_t>(from, width + lane_));
        for (int64_t i = 0; i < kGroup; i++) values[i] = scale * (static_cast<float>(from[4 * width + at(i, step_)]) + zero) * factor;
        return;
      }
    }
  }

  int64_t at(int64_t i, int64_t run) const { return layout_.place(i, lane_, run); }

  const LinearLayout& layout_;
  uint8_t* tile_;
  uint8_t* groups_;
  int64_t lane_, step_;
};

Column column_of(const LinearLayout& layout, const void* packed, int64_t row, int64_t step) {
  auto* tile = static_cast<uint8_t*>(const_cast<void*>(packed)) + row / layout.width * layout.tile_bytes();
  return {layout, tile, row % layout.width, step};
}

}  // namespace

size_t linear_bytes(const LinearShape& shape, const LinearKernels& kernels) { return static_cast<size_t>(LinearLayout(shape, kernels.width).bytes()); }

void pack_linear(const LinearShape& shape, const float* rows, int64_t first, int64_t count, void* packed, const LinearKernels& kernels) {
  const LinearLayout layout(shape, kernels.width);
  for (int64_t i = 0; i < count; i++) column_of(layout, packed, first + i, kernels.step).pack(rows + i * shape.in, shape.in);
  if (count == 0 || first + count < shape.out) return;
  for (int64_t row = shape.out; row < layout.tiles * layout.width; row++) column_of(layout, packed, row, kernels.step).pack(nullptr, 0);
  const int64_t end = layout.tiles * layout.tile_bytes();
  std::memset(static_cast<uint8_t*>(packed) + end, 0, static_cast<size_t>(layout.bytes() - end));
}

void unpack_row(const LinearShape& shape, const void* packed, int64_t row, float* out, const LinearKernels& kernels) {
  const LinearLayout layout(shape, kernels.width);
  column_of(layout, packed, row, kernels.step).unpack(out, shape.in);
}

}  // namespace lorikeet
