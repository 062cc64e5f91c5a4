#include "stored_blocks.h"
#include <cstring>
#include "half.h"

namespace lorikeet {
namespace {

constexpr int64_t kWide = 256;  // inputs in a block of the K kinds

float half_at(const uint8_t* from) {
  uint16_t bits;
  std::memcpy(&bits, from, 2);
  return from_half(bits);
}

// Six bits each of scale and least of sub-block j of eight, in twelve bytes: the first four of each in the low six bits of a byte, the others' upper bits above them.
void six_bits(const uint8_t* packed, int64_t j, int& scale, int& least) {
  if (j < 4) {
    scale = packed[j] & 63;
    least = packed[j + 4] & 63;
  } else {
    scale = (packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4;
    least = packed[j + 4] >> 4 | (packed[j] >> 6) << 4;
  }
}

}  // namespace

int64_t block_inputs(StoredLayout layout) {
  switch (layout) {
    case StoredLayout::q4_0:
    case StoredLayout::q8_0: return 32;
    case StoredLayout::q4_k:
    case StoredLayout::q6_k: return kWide;
    default: return 0;
  }
}

int64_t block_bytes(StoredLayout layout) {
  switch (layout) {
    case StoredLayout::q4_0: return 18;
    case StoredLayout::q8_0: return 34;
    case StoredLayout::q4_k: return 144;
    case StoredLayout::q6_k: return 210;
    default: return 0;
  }
}

void read_block_group(StoredLayout layout, const uint8_t* row, int64_t run, StoredGroup& to) {
  const int64_t inputs = block_inputs(layout), part = run * kStoredGroup % inputs / kStoredGroup;
  const uint8_t* block = row + run * kStoredGroup / inputs * block_bytes(layout);
  to.least = 0;
  if (layout == StoredLayout::q8_0) {
    to.scale = half_at(block);
    to.zero = 128;
    for (int i = 0; i < kStoredGroup; i++) to.numbers[i] = block[2 + i] ^ 0x80;
  } else if (layout == StoredLayout::q4_0) {
    to.scale = half_at(block);
    to.zero = 8;
    for (int i = 0; i < 16; i++) {
      to.numbers[i] = block[2 + i] & 15;
      to.numbers[i + 16] = block[2 + i] >> 4;
    }
  } else {
    int scale = 0, least = 0;
    six_bits(block + 4, part, scale, least);
    to.scale = half_at(block) * static_cast<float>(scale);
    to.zero = 0;
    to.least = -half_at(block + 2) * static_cast<float>(least);
    const uint8_t* numbers = block + 16 + part / 2 * 32;
    for (int i = 0; i < kStoredGroup; i++) to.numbers[i] = part % 2 ? numbers[i] >> 4 : numbers[i] & 15;
  }
}

void read_block_values(StoredLayout layout, const uint8_t* row, int64_t run, float* to) {
  if (layout != StoredLayout::q6_k) {
    StoredGroup group;
    read_block_group(layout, row, run, group);
    for (int i = 0; i < kStoredGroup; i++) to[i] = group.scale * (static_cast<float>(group.numbers[i]) - group.zero) + group.least;
    return;
  }
  // Two halves of 128 inputs; of each, four runs of 32 share bytes: low four bits in `low`, the upper two in `high`, a scale for every 16.
  const uint8_t* block = row + run / 8 * block_bytes(layout);
  const int64_t half = run % 8 / 4, part = run % 4;
  const uint8_t *low = block + half * 64 + part % 2 * 32, *high = block + 128 + half * 32;
  const auto* scales = reinterpret_cast<const int8_t*>(block + 192 + half * 8 + part * 2);
  const float d = half_at(block + 208);
  for (int i = 0; i < kStoredGroup; i++) {
    const int number = (part < 2 ? low[i] & 15 : low[i] >> 4) | (high[i] >> (2 * part) & 3) << 4;
    to[i] = d * static_cast<float>(scales[i / 16]) * static_cast<float>(number - 32);
  }
}

}  // namespace lorikeet
