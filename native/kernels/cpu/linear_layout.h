// Where a packed weight's numbers lie. A tile holds `width` outputs and all their inputs, filled up with zeros to whole tiles and groups. An output's inputs lie
// in steps of four bytes; for matrix instructions, of eight: read two pairs for a pair below, eight bytes for four, and half as many steps.
//   head     [width] float32: int8: scale; int4, uint4, uint8: a power of two that both numbers of a group are multiples of, or its scale; none for bf16 and f16
//   groups   of 32 inputs, one after another:
//     bf16   [16 pairs] [width] two bfloat16, inputs 2p and 2p + 1
//     f16    [32] [width] float16
//     int8   [8 steps] [width] four bytes q + 128, inputs 4s … 4s + 3
//     int4   scales [width] float16, leasts [width] float16, [4] [width] four bytes: inputs 4s … 4s + 3 in the low halves, those of step s + 4 in the high ones
//     uint4  as int4, with −zero [width] float16 in place of the leasts
//     uint8  scales and −zero as uint4, then as int8 with bytes q
#pragma once
#include "../linear.h"

namespace lorikeet {

// Names the layout in files. Count the first number up when anything above changes.
constexpr uint32_t linear_layout_of(int32_t width, int32_t step = kLinearStep) {
  return 1u << 16 | static_cast<uint32_t>(step == kLinearStep ? 0 : step) << 8 | static_cast<uint32_t>(width);
}

struct LinearLayout {
  WeightForm form;
  int64_t width, groups, tiles;

  LinearLayout(const LinearShape& shape, int64_t tile_width)
      : form(shape.form), width(tile_width), groups((shape.in + kLinearGroup - 1) / kLinearGroup), tiles((shape.out + tile_width - 1) / tile_width) {}
  int64_t head_bytes() const { return rounds_inputs(form) ? 4 * width : 0; }
  int64_t group_bytes() const {
    switch (form) {
      case WeightForm::int8: return width * 32;
      case WeightForm::uint8: return width * 36;
      case WeightForm::int4:
      case WeightForm::uint4: return width * 20;
      default: return width * 64;
    }
  }
  int64_t tile_bytes() const { return head_bytes() + groups * group_bytes(); }
  int64_t bytes() const { return (tiles * tile_bytes() + 63) / 64 * 64; }
  // Where input i of a group and output `lane` lies, if `run` inputs of an output lie together.
  int64_t place(int64_t i, int64_t lane, int64_t run) const { return (i / run * width + lane) * run + i % run; }
};

}  // namespace lorikeet
