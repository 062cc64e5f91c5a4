#include "linear_fit4.h"
#include <algorithm>
#include <cstring>
#include <limits>
#include "../../numeric/half.h"

namespace lorikeet {
namespace {

// How much of the group's range the first grid covers: what lies outside is clipped for finer steps.
constexpr float kReach[] = {1, 0.82f, 0.88f, 0.94f};
constexpr int kRefits = 2;

constexpr int kLanes = 4, kVectors = kLinearGroup / kLanes;
typedef float Floats __attribute__((vector_size(4 * kLanes)));

float sum(Floats v) { return (v[0] + v[1]) + (v[2] + v[3]); }

// A group, moved so that the middle of its range is zero: squares of what is left do not drown in the distance from zero.
struct Group {
  Floats values[kVectors];  // fillers are zero
  Floats there[kVectors];   // 1, or 0 for a filler
  float middle, half, count, sum1, sum2;
};

// What a grid's numbers are to the group: Σ q, Σ q², Σ value · q.
struct Moments {
  float q1, q2, vq;
};

// The numbers nearest to the grid as it is kept.
Moments numbers_of(const Group& group, float scale, float least, Floats (&numbers)[kVectors]) {
  const float inverse = scale > 0 ? 1 / scale : 0, first = least - group.middle;
  const Floats none = {}, most = none + 15;
  Floats q1 = {}, q2 = {}, vq = {};
  for (int i = 0; i < kVectors; i++) {
    Floats q = (group.values[i] - first) * inverse;
    q = q < none ? none : q;
    q = q > most ? most : q;
    // Adding 1.5 · 2^23 leaves no bit for a fraction: to nearest even.
    numbers[i] = q = ((q + 0x1.8p23f) - 0x1.8p23f) * group.there[i];
    q1 += q;
    q2 += q * q;
    vq += q * group.values[i];
  }
  return {sum(q1), sum(q2), sum(vq)};
}

// Σ (scale · q + first − value)², multiplied out.
float error_of(const Group& group, const Moments& m, float scale, float first) {
  return scale * scale * m.q2 + 2 * scale * (first * m.q1 - m.vq) + first * first * group.count - 2 * first * group.sum1 + group.sum2;
}

}  // namespace

FourBits fit_four_bits(const float* values, int64_t count) {
  FourBits best{};
  if (count == 0) return best;
  const auto [low, high] = std::minmax_element(values, values + count);
  Group group{};
  group.middle = (*low + *high) / 2;
  group.half = (*high - *low) / 2;
  group.count = static_cast<float>(count);
  float moved[kLinearGroup] = {}, there[kLinearGroup] = {};
  for (int64_t i = 0; i < count; i++) moved[i] = values[i] - group.middle, there[i] = 1;
  std::memcpy(group.values, moved, sizeof moved);
  std::memcpy(group.there, there, sizeof there);
  Floats sum1 = {}, sum2 = {};
  for (const Floats v : group.values) sum1 += v, sum2 += v * v;
  group.sum1 = sum(sum1);
  group.sum2 = sum(sum2);

  float least_error = std::numeric_limits<float>::infinity();
  for (const float reach : kReach) {
    float scale = 2 * group.half * reach / 15, first = -group.half * reach;
    for (int i = 0; i <= kRefits; i++) {
      const uint16_t kept_scale = to_half(scale), kept_least = to_half(first + group.middle);
      scale = from_half(kept_scale);
      first = from_half(kept_least) - group.middle;
      Floats numbers[kVectors];
      const Moments m = numbers_of(group, scale, from_half(kept_least), numbers);
      if (const float error = error_of(group, m, scale, first); error < least_error) {
        least_error = error;
        best.scale = kept_scale;
        best.least = kept_least;
        float floats[kLinearGroup];
        std::memcpy(floats, numbers, sizeof floats);
        for (int64_t k = 0; k < kLinearGroup; k++) best.numbers[k] = static_cast<uint8_t>(static_cast<int>(floats[k]));
      }
      // The line through (number, value) with the least squared error; there is none if the numbers are all one.
      const float spread = group.count * m.q2 - m.q1 * m.q1;
      if (!(spread > 0)) break;
      scale = (group.count * m.vq - m.q1 * group.sum1) / spread;
      if (!(scale > 0)) break;
      first = (group.sum1 - scale * m.q1) / group.count;
    }
  }
  return best;
}

}  // namespace lorikeet
