#include "quantize.h"
#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>
#include "half.h"

namespace lorikeet {
namespace {

template <DType type>
float read(const uint8_t* data, size_t i) {
  if constexpr (type == DType::f32) {
    float value;
    std::memcpy(&value, data + 4 * i, 4);
    return value;
  } else {
    uint16_t value;
    std::memcpy(&value, data + 2 * i, 2);
    return type == DType::f16 ? from_half(value) : from_bfloat(value);
  }
}

template <DType type>
void write(uint8_t* data, size_t i, float value) {
  if constexpr (type == DType::f32) {
    std::memcpy(data + 4 * i, &value, 4);
  } else {
    const uint16_t rounded = type == DType::f16 ? to_half(value) : to_bfloat(value);
    std::memcpy(data + 2 * i, &rounded, 2);
  }
}

// Calls function.operator()<type>() with the type as a constant.
template <typename Function>
auto with_type(DType type, const Function& function) {
  if (type == DType::f32) return function.template operator()<DType::f32>();
  if (type == DType::f16) return function.template operator()<DType::f16>();
  return function.template operator()<DType::bf16>();
}

template <typename Task>
void in_parts(size_t count, int threads, const Task& task) {
  const size_t parts = std::min<size_t>(std::max(threads, 1), std::max<size_t>(count, 1));
  std::vector<std::thread> others;
  for (size_t p = 1; p < parts; p++) others.emplace_back([&, p] { task(count * p / parts, count * (p + 1) / parts); });
  task(0, count / parts);
  for (auto& t : others) t.join();
}

constexpr int64_t kLongestBlock = 256;
constexpr int kLanes = 4;
typedef float Floats __attribute__((vector_size(4 * kLanes)));

// q = clamp(round(x · inverse), −middle, middle − 1), to nearest even: beyond 2^23 floats have no fractions.
Floats quantized(Floats x, float inverse, float middle) {
  const Floats zero = {}, low = zero - middle, high = zero + (middle - 1);
  Floats q = x * inverse;
  q = q < low ? low : q;
  q = q > high ? high : q;
  return (q + 0x1.8p23f) - 0x1.8p23f;
}

float sum(Floats v) {
  float total = 0;
  for (int i = 0; i < kLanes; i++) total += v[i];
  return total;
}

// How far from zero the largest magnitude of a block is put, as a multiple of 2^(bits−1). Less than 1 leaves room on the side that has one integer
// fewer, more clips it for finer steps. 8 bits are fine enough that only the first matters.
constexpr float kFourBitReach[] = {1, 0.84375f, 0.875f, 0.90625f, 0.9375f, 0.96875f, 1.03125f, 1.0625f, 1.09375f, 1.125f};
constexpr float kEightBitReach[] = {1, 127.f / 128, 127.5f / 128};

// The scale with the least squared error of those tried. For integers q the best scale is Σxq / Σq², and leaves Σx² − (Σxq)² / Σq².
float best_scale(const Floats* x, int vectors, float extreme, int bits) {
  const float middle = static_cast<float>(1 << (bits - 1));
  const float* reach = bits == 4 ? std::begin(kFourBitReach) : std::begin(kEightBitReach);
  const float* end = bits == 4 ? std::end(kFourBitReach) : std::end(kEightBitReach);
  float best = 0, most = -1;
  for (; reach != end; reach++) {
    const float inverse = -middle * *reach / extreme;
    Floats xq = {}, qq = {};
    for (int i = 0; i < vectors; i++) {
      const Floats q = quantized(x[i], inverse, middle);
      xq += x[i] * q;
      qq += q * q;
    }
    const float cross = sum(xq), squares = sum(qq), explained = cross * (cross / squares);
    if (explained > most) {
      most = explained;
      best = cross / squares;
    }
  }
  return best;
}

// One block of `count` elements from `first` on, to `bytes` and the scale at place `scale_at`.
template <DType type, DType scale_type>
void quantize_block(const uint8_t* from, size_t first, int64_t count, int64_t block, int bits, uint8_t* bytes, uint8_t* scales, size_t scale_at) {
  alignas(sizeof(Floats)) float values[kLongestBlock] = {};
  float extreme = 0, nothing = 0;  // `extreme` has its sign: the integers reach one further below zero than above
  for (int64_t i = 0; i < count; i++) {
    values[i] = read<type>(from, first + i);
    nothing += values[i] * 0;
    if (std::fabs(values[i]) > std::fabs(extreme)) extreme = values[i];
  }
  Floats x[kLongestBlock / kLanes];
  const int vectors = static_cast<int>(block_count(block, kLanes));
  std::memcpy(x, values, vectors * sizeof(Floats));
  const bool zero = std::fabs(extreme) < 1e-30f;
  const float scale = nothing != 0 ? std::numeric_limits<float>::quiet_NaN() : zero ? 0 : best_scale(x, vectors, extreme, bits);
  write<scale_type>(scales, scale_at, scale);
  // The integers are those nearest to the scale as it is kept.
  const float kept = read<scale_type>(scales, scale_at), inverse = std::isfinite(kept) && kept != 0 ? 1 / kept : 0;
  const float middle = static_cast<float>(1 << (bits - 1));
  for (int i = 0; i < vectors; i++) {
    x[i] = nothing != 0 ? Floats{} : quantized(x[i], inverse, middle);
    x[i] += middle;
  }
  std::memcpy(values, x, vectors * sizeof(Floats));
  for (int64_t i = 0; i < block; i++) {
    if (bits == 8)
      bytes[i] = static_cast<uint8_t>(values[i]);
    else if (i % 2 == 0)
      bytes[i / 2] = static_cast<uint8_t>(static_cast<int>(values[i]) | static_cast<int>(values[i + 1]) << 4);
  }
}

}  // namespace

void convert_elements(const void* from, DType from_type, void* to, DType to_type, size_t count, int threads) {
  if (count == 0) return;  // of nothing there is no address, which memcpy may not be told
  const auto* source = static_cast<const uint8_t*>(from);
  auto* target = static_cast<uint8_t*>(to);
  if (const size_t size = element_size(to_type); from_type == to_type) {
    in_parts(count, threads, [&](size_t begin, size_t end) { std::memcpy(target + begin * size, source + begin * size, (end - begin) * size); });
    return;
  }
  with_type(from_type, [&]<DType from_>() {
    with_type(to_type, [&]<DType to_>() {
      in_parts(count, threads, [&](size_t begin, size_t end) {
        for (size_t i = begin; i < end; i++) write<to_>(target, i, read<from_>(source, i));
      });
    });
  });
}

void quantize_rows(const void* from, DType type, int64_t rows, int64_t columns, int bits, int64_t block, uint8_t* packed, void* scales,
                   DType scale_type, int threads) {
  assert((bits == 4 || bits == 8) && block > 0 && block % 2 == 0 && block <= kLongestBlock);
  const auto* source = static_cast<const uint8_t*>(from);
  auto* to_scales = static_cast<uint8_t*>(scales);
  const int64_t blocks = block_count(columns, block), bytes = block * bits / 8;
  with_type(type, [&]<DType from_>() {
    with_type(scale_type, [&]<DType to_>() {
      in_parts(static_cast<size_t>(rows), threads, [&](size_t begin, size_t end) {
        for (size_t row = begin; row < end; row++)
          for (int64_t b = 0; b < blocks; b++) {
            const size_t at = row * blocks + b;
            const int64_t count = std::min(block, columns - b * block);
            quantize_block<from_, to_>(source, row * columns + b * block, count, block, bits, packed + at * bytes, to_scales, at);
          }
      });
    });
  });
}

}  // namespace lorikeet
