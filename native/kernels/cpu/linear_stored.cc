// Packs weights that a checkpoint has quantized already: its numbers, not new ones. Compiled once for the baseline.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>
#include "../../numeric/half.h"
#include "linear_layout.h"

namespace lorikeet {
namespace {

void put_half(uint8_t* to, int64_t i, float value) {
  const uint16_t half = to_half(value);
  std::memcpy(to + 2 * i, &half, 2);
}

// What is divided out of an output's scales, so that float16 has them all.
float head_of(const LinearLayout& layout, DType scales, const std::vector<StoredGroup>& groups) {
  float most = 0, nothing = 0;
  for (const auto& group : groups) {
    most = std::max({most, std::fabs(group.scale), std::fabs(group.least)});
    nothing += group.scale * 0 + group.least * 0;
  }
  if (nothing != 0) return std::numeric_limits<float>::quiet_NaN();
  if (layout.form == WeightForm::int8) return groups.front().scale;
  if (scales == DType::f16 && layout.form != WeightForm::int4) return 1;
  int exponent = 0;
  std::frexp(most, &exponent);
  return most == 0 ? 1 : std::ldexp(1.0f, std::max(exponent - 1, -126));
}

void put_output(const LinearLayout& layout, DType scales, const std::vector<StoredGroup>& groups, uint8_t* tile, int64_t lane, int64_t step) {
  const int64_t width = layout.width;
  const float head = head_of(layout, scales, groups);
  std::memcpy(tile + 4 * lane, &head, 4);
  const bool finite = std::isfinite(head);
  for (int64_t g = 0; g < layout.groups; g++) {
    const StoredGroup& group = groups[g];
    uint8_t* to = tile + layout.head_bytes() + g * layout.group_bytes();
    if (layout.form != WeightForm::int8) {
      put_half(to, lane, finite ? group.scale / head : 0);
      put_half(to, width + lane, layout.form == WeightForm::int4 ? (finite ? group.least / head : 0) : -group.zero);
      to += 4 * width;
    }
    const uint8_t* q = group.numbers;
    if (layout.form == WeightForm::int8 || layout.form == WeightForm::uint8)
      for (int64_t i = 0; i < kLinearGroup; i++) to[layout.place(i, lane, step)] = q[i];
    else
      for (int64_t i = 0; i < kLinearGroup / 2; i++) to[layout.place(i, lane, step)] = static_cast<uint8_t>(q[i] | q[i + kLinearGroup / 2] << 4);
  }
}

}  // namespace

bool keeps_stored(WeightForm form, const StoredWeight& weight) {
  const StoredForm& stored = weight.form();
  if (!weight.regular()) return false;
  if (form == WeightForm::int8) return stored.bits == 8 && weight.groups() == 1 && !stored.zeros.data;
  return (form == WeightForm::uint4 && stored.bits == 4) || (form == WeightForm::uint8 && stored.bits == 8);
}

void pack_stored(const LinearShape& shape, const StoredWeight& weight, int64_t first, int64_t count, void* packed, const LinearKernels& kernels) {
  const LinearLayout layout(shape, kernels.width);
  const DType scales = weight.form().scale_type;
  auto* bytes = static_cast<uint8_t*>(packed);
  const auto put = [&](const std::vector<StoredGroup>& groups, int64_t row) { put_output(layout, scales, groups, bytes + row / layout.width * layout.tile_bytes(), row % layout.width, kernels.step); };
  std::vector<StoredGroup> groups(static_cast<size_t>(layout.groups));
  for (int64_t row = first; row < first + count; row++) {
    for (int64_t g = 0; g < layout.groups; g++) weight.read_group(row, g, groups[g]);
    put(groups, row);
  }
  if (count == 0 || first + count < shape.out) return;
  std::fill(groups.begin(), groups.end(), StoredGroup{});
  for (int64_t row = shape.out; row < layout.tiles * layout.width; row++) put(groups, row);
  const int64_t end = layout.tiles * layout.tile_bytes();
  std::memset(bytes + end, 0, static_cast<size_t>(layout.bytes() - end));
}

}  // namespace lorikeet
