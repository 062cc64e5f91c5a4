#include "linear_fit4.h"
#include <algorithm>
#include <limits>
#include "../../numeric/half.h"

namespace lorikeet {
namespace {

// How far the first grid reaches beyond (above 1) or inside the group's range, as a part of it.
constexpr float kReach[] = {1, 0.8f, 0.85f, 0.9f, 0.95f, 1.05f};
constexpr int kRefits = 2;

// The numbers nearest to a grid as it is kept, and their squared error.
float round_to_grid(const float* values, int64_t count, FourBits& fit) {
  const float scale = from_half(fit.scale), least = from_half(fit.least), inverse = scale > 0 ? 1 / scale : 0;
  float error = 0;
  for (int64_t i = 0; i < count; i++) {
    // Adding 1.5 · 2^23 leaves no bit for a fraction: to nearest even.
    const float q = (std::min(15.0f, std::max(0.0f, (values[i] - least) * inverse)) + 0x1.8p23f) - 0x1.8p23f;
    fit.numbers[i] = static_cast<uint8_t>(static_cast<int>(q));
    const float off = scale * q + least - values[i];
    error += off * off;
  }
  return error;
}

// The line through (number, value) with the least squared error; false if the numbers are all one.
bool refit(const float* values, int64_t count, FourBits& fit) {
  float q1 = 0, q2 = 0, v1 = 0, vq = 0;
  for (int64_t i = 0; i < count; i++) {
    const float q = fit.numbers[i];
    q1 += q;
    q2 += q * q;
    v1 += values[i];
    vq += values[i] * q;
  }
  const auto n = static_cast<float>(count);
  const float spread = n * q2 - q1 * q1;
  if (spread <= 0) return false;
  const float scale = (n * vq - q1 * v1) / spread;
  if (!(scale > 0)) return false;
  fit.scale = to_half(scale);
  fit.least = to_half((v1 - scale * q1) / n);
  return true;
}

}  // namespace

FourBits fit_four_bits(const float* values, int64_t count) {
  FourBits best{};
  if (count == 0) return best;
  const auto [low, high] = std::minmax_element(values, values + count);
  const float middle = (*low + *high) / 2, half = (*high - *low) / 2;
  float least_error = std::numeric_limits<float>::infinity();
  const auto consider = [&](FourBits& fit) {
    const float error = round_to_grid(values, count, fit);
    if (error >= least_error) return;
    least_error = error;
    best = fit;
  };
  for (const float reach : kReach) {
    FourBits fit{};
    fit.scale = to_half(2 * half * reach / 15);
    fit.least = to_half(middle - half * reach);
    consider(fit);
    for (int i = 0; i < kRefits && refit(values, count, fit); i++) consider(fit);
  }
  return best;
}

}  // namespace lorikeet
