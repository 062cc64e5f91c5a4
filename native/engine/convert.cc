#include "convert.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>
#include <vector>

namespace lorikeet {
namespace {

float from_half(uint16_t h) {
  const uint32_t sign = uint32_t(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 1023;
  uint32_t bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000u | mantissa << 13;
  } else if (exponent) {
    bits = sign | (exponent + 112) << 23 | mantissa << 13;
  } else {
    const float value = std::ldexp(static_cast<float>(mantissa), -24);
    return sign ? -value : value;
  }
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

uint16_t to_half(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);
  if (magnitude < 0x38800000) return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::nearbyint(std::ldexp(std::fabs(value), 24))));
  const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000) >> 13));
}

float read(const void* data, DType type, size_t i) {
  if (type == DType::f32) return static_cast<const float*>(data)[i];
  const uint16_t bits = static_cast<const uint16_t*>(data)[i];
  if (type == DType::f16) return from_half(bits);
  const uint32_t wide = uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

void write(void* data, DType type, size_t i, float value) {
  if (type == DType::f32) {
    static_cast<float*>(data)[i] = value;
  } else if (type == DType::f16) {
    static_cast<uint16_t*>(data)[i] = to_half(value);
  } else {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    static_cast<uint16_t*>(data)[i] = static_cast<uint16_t>(std::isnan(value) ? bits >> 16 | 64 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
}

template <typename Task>
void in_parts(size_t count, int threads, const Task& task) {
  const size_t parts = std::min<size_t>(std::max(threads, 1), std::max<size_t>(count, 1));
  std::vector<std::thread> others;
  for (size_t p = 1; p < parts; p++) others.emplace_back([&, p] { task(count * p / parts, count * (p + 1) / parts); });
  task(0, count / parts);
  for (auto& t : others) t.join();
}

}  // namespace

void convert_elements(const void* from, DType from_type, void* to, DType to_type, size_t count, int threads) {
  in_parts(count, threads, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) write(to, to_type, i, read(from, from_type, i));
  });
}

void quantize_rows(const void* from, DType type, int64_t rows, int64_t columns, int bits, int64_t block, uint8_t* packed, void* scales,
                   DType scale_type, int threads) {
  const int64_t blocks = columns / block;
  const int middle = 1 << (bits - 1);
  in_parts(static_cast<size_t>(rows * blocks), threads, [&](size_t begin, size_t end) {
    for (size_t b = begin; b < end; b++) {
      float extreme = 0;  // of the largest magnitude, with its sign: the integers reach one further below zero than above
      for (int64_t i = 0; i < block; i++) {
        const float v = read(from, type, b * block + i);
        if (std::fabs(v) > std::fabs(extreme)) extreme = v;
      }
      write(scales, scale_type, b, extreme / -middle);
      const float scale = read(scales, scale_type, b), inverse = scale ? 1 / scale : 0;
      for (int64_t i = 0; i < block; i++) {
        const int q = std::clamp(static_cast<int>(std::lround(read(from, type, b * block + i) * inverse)) + middle, 0, 2 * middle - 1);
        uint8_t& byte = packed[(b * block + i) * bits / 8];
        byte = bits == 8 ? q : i % 2 ? byte | q << 4 : q;
      }
    }
  });
}

}  // namespace lorikeet
