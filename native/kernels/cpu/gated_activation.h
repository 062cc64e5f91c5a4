// GatedActivation: y = act(gate) ⊙ up, element by element; the semantics are in ../kernels.h.
#pragma once
#include "math.h"
#include "parallel.h"

namespace lorikeet::LORIKEET_ISA {

// x / (1 + e^−z); 0 for z below −88, where e^−z leaves the floats.
inline Vec times_sigmoid(Vec x, Vec z) {
  const Vec zero = Vec::set(0), one = Vec::set(1), least = Vec::set(-88);
  return Vec::if_below(z, least, zero, x / (one + exp(zero - Vec::max(least, z))));
}

template <Activation kind>
Vec activated(Vec x) {
  const Vec zero = Vec::set(0), one = Vec::set(1);
  if constexpr (kind == Activation::silu) return times_sigmoid(x, x);
  // (1 + tanh u) / 2 is the logistic function of 2u = 2 √(2/π) (x + 0.044715 x³): nothing cancels where tanh is near −1.
  if constexpr (kind == Activation::gelu_tanh)
    return times_sigmoid(x, x * Vec::fma(x * x, Vec::set(0.0713548162726f), Vec::set(1.59576912161f)));
  if constexpr (kind == Activation::gelu) {
    // The normal distribution's tail beyond |x|, half of erfc(|x| / √2): Abramowitz and Stegun, 7.1.26, to 8e-8 and the rounding.
    const Vec z = Vec::max(x, zero - x) * Vec::set(0.70710678f), t = one / Vec::fma(z, Vec::set(0.3275911f), one);
    Vec p = Vec::set(1.061405429f / 2);
    p = Vec::fma(p, t, Vec::set(-1.453152027f / 2));
    p = Vec::fma(p, t, Vec::set(1.421413741f / 2));
    p = Vec::fma(p, t, Vec::set(-0.284496736f / 2));
    p = Vec::fma(p, t, Vec::set(0.254829592f / 2));
    const Vec tail = p * t * exp(zero - z * z);
    return x * Vec::if_below(x, zero, tail, one - tail);
  }
  return Vec::max(zero, x);
}

template <Activation kind>
void gate_span(const float* gate, const float* up, float* y, int64_t count) {
  int64_t i = 0;
  for (; i + Vec::N <= count; i += Vec::N) (activated<kind>(Vec::load(gate + i)) * Vec::load(up + i)).store(y + i);
  if (i == count) return;
  // The rest goes through the same vector operations: an element's bits do not depend on its place.
  float rest[2][Vec::N] = {};
  const auto left = static_cast<int>(count - i);
  for (int j = 0; j < left; j++) {
    rest[0][j] = gate[i + j];
    rest[1][j] = up[i + j];
  }
  (activated<kind>(Vec::load(rest[0])) * Vec::load(rest[1])).store(rest[0]);
  for (int j = 0; j < left; j++) y[i + j] = rest[0][j];
}

inline void gated_activation(const GatedArgs& args, const Parallel& parallel) {
  constexpr int64_t kSpan = 2048;  // elements of a task
  struct Work {
    GatedArgs args;
    int64_t spans;  // of a row
    void (*one)(const float*, const float*, float*, int64_t);
  } work{args, 0, nullptr};
  switch (args.activation) {
    case Activation::silu: work.one = gate_span<Activation::silu>; break;
    case Activation::gelu_tanh: work.one = gate_span<Activation::gelu_tanh>; break;
    case Activation::gelu: work.one = gate_span<Activation::gelu>; break;
    case Activation::relu: work.one = gate_span<Activation::relu>; break;
  }
  if (args.stride == args.width) {  // dense: rows do not matter
    work.args.width *= args.rows;
    work.args.rows = 1;
  }
  work.spans = (work.args.width + kSpan - 1) / kSpan;
  const auto task = [](void* data, size_t i) {
    const auto& [a, spans, one] = *static_cast<const Work*>(data);
    const int64_t row = static_cast<int64_t>(i) / spans, at = static_cast<int64_t>(i) % spans * kSpan;
    const int64_t from = row * a.stride + at, left = a.width - at;
    one(a.gate + from, a.up + from, a.y + row * a.width + at, left < kSpan ? left : kSpan);
  };
  // An exponential and a division a vector: as long as sixteen multiply-adds.
  parallel_for(parallel, task, static_cast<size_t>(work.args.rows * work.spans), &work, args.rows * args.width * 16);
}

}  // namespace lorikeet::LORIKEET_ISA
