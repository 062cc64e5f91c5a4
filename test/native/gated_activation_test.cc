// GatedActivation against float64, and that an element's bits depend on nothing but its two numbers.
#include <limits>
#include "harness.h"

namespace {
using namespace lorikeet;
using namespace lorikeet::test;

double reference(Activation kind, double x) {
  switch (kind) {
    case Activation::silu: return x / (1 + std::exp(-x));
    case Activation::gelu_tanh: return 0.5 * x * (1 + std::tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case Activation::gelu: return 0.5 * x * std::erfc(-x * 0.70710678118654752440);
    case Activation::relu: return x > 0 ? x : 0;
  }
  return 0;
}

struct Batch {
  int64_t rows, width;
  std::vector<float> gate, up;
  Batch(int64_t r, int64_t w, uint64_t seed) : rows(r), width(w) {
    Random random(seed);
    up = random.floats(rows * width);
    gate = random.floats(rows * width);
    for (float& x : gate) x *= std::exp(5 * random.uniform());
  }
  std::vector<float> run(const Kernels& kernels, Activation kind, int threads = 1) const {
    std::vector<float> y(rows * width, NAN);
    kernels.gated_activation({gate.data(), up.data(), y.data(), rows, width, width, kind}, on_threads(threads));
    return y;
  }
};

constexpr Activation kAll[] = {Activation::silu, Activation::gelu_tanh, Activation::gelu, Activation::relu};

KERNEL_TEST(gated_activation_against_float64) {
  for (const Activation kind : kAll) {
    Batch batch(3, 1237, 5);
    for (int i = 0; i < 1000; i++) batch.gate[i] = static_cast<float>(i - 500) / 8;
    const auto y = batch.run(kernels, kind);
    double worst = 0;
    for (size_t i = 0; i < y.size(); i++) {
      const double act = reference(kind, batch.gate[i]), up = batch.up[i];
      // A few last places of the result, and of the input where it is far below zero and e^x amplifies its rounding.
      const double allowed = std::abs(up) * (4e-7 * std::abs(act) + 1.2e-7 * std::abs(batch.gate[i]));
      worst = std::max(worst, std::abs(y[i] - act * up) / allowed);
      if (std::isnan(y[i])) worst = INFINITY;
    }
    check(worst <= 1, "activation " + std::to_string(int(kind)) + ": off by " + std::to_string(worst) + " of what is allowed");
  }
}

KERNEL_TEST(gated_activation_at_the_ends_of_floats) {
  constexpr float infinity = std::numeric_limits<float>::infinity(), most = std::numeric_limits<float>::max();
  const float gate[] = {0, -0.0f, 1e-30f, -1e-30f, 88, -88, 89, -89, 200, -200, 1e10f, -1e10f, most, -most, infinity, NAN};
  constexpr int count = std::size(gate);
  const std::vector<float> up(count, 1);
  for (const Activation kind : kAll) {
    std::vector<float> y(count);
    kernels.gated_activation({gate, up.data(), y.data(), 1, count, count, kind}, on_threads(1));
    for (int i = 0; i < count; i++) {
      const std::string what = "activation " + std::to_string(int(kind)) + " of " + std::to_string(gate[i]);
      if (std::isnan(gate[i]))
        check(std::isnan(y[i]), what);
      else if (gate[i] >= 88)
        check(y[i] == gate[i], what + " is " + std::to_string(y[i]));
      else
        check(std::abs(y[i]) <= 1.01f * std::abs(gate[i]) && (gate[i] > -80 || std::abs(y[i]) <= 1), what + " is " + std::to_string(y[i]));
    }
  }
}

KERNEL_TEST(gated_activation_alone_packed_in_place_and_on_threads) {
  for (const Activation kind : kAll) {
    const Batch batch(37, 523, 9);
    const auto y = batch.run(kernels, kind);
    check(batch.run(kernels, kind, 3) == y, "threads change nothing");
    std::vector<float> packed;
    for (int64_t from = 0; from < batch.rows * batch.width; from += batch.width)
      for (const auto* half : {&batch.gate, &batch.up}) packed.insert(packed.end(), half->begin() + from, half->begin() + from + batch.width);
    std::vector<float> out(y.size(), NAN);
    kernels.gated_activation({packed.data(), packed.data() + batch.width, out.data(), batch.rows, batch.width, 2 * batch.width, kind}, on_threads(3));
    check(out == y, "gate and up in one matrix");
    for (const int64_t row : {0, 11, 36}) {
      const int64_t from = row * batch.width;
      out.assign(batch.width, NAN);
      kernels.gated_activation({batch.gate.data() + from, batch.up.data() + from, out.data(), 1, batch.width, batch.width, kind}, on_threads(1));
      check(std::equal(out.begin(), out.end(), y.begin() + from), "a row alone gives the same bits");
    }
    for (const bool over_gate : {true, false}) {
      Batch copy = batch;
      float* to = over_gate ? copy.gate.data() : copy.up.data();
      kernels.gated_activation({copy.gate.data(), copy.up.data(), to, batch.rows, batch.width, batch.width, kind}, on_threads(3));
      check((over_gate ? copy.gate : copy.up) == y, "in place");
    }
  }
  kernels.gated_activation({nullptr, nullptr, nullptr, 0, 8, 8, Activation::silu}, on_threads(1));
}

}  // namespace
