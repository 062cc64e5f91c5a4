// exp and tanh for vectors, and the sum of squares.
#pragma once

namespace lorikeet::LORIKEET_ISA {

// e^x for x ≤ 0 (larger x up to 88 works too): argument reduction by ln 2 in two parts and a polynomial of degree 6; relative error below 3e-7.
// Below −87.3, −inf included, it is e^−87.3 ≈ 1.2e-38, which any sum of softmax terms (≥ 1) swallows; NaN stays NaN.
inline Vec exp(Vec x) {
  x = Vec::max(Vec::set(-87.3f), x);
  const Vec n = Vec::round(x * Vec::set(1.44269504f));
  Vec r = Vec::fma(n, Vec::set(-0.693359375f), x);
  r = Vec::fma(n, Vec::set(2.12194440e-4f), r);
  Vec p = Vec::set(1.0f / 720);
  p = Vec::fma(p, r, Vec::set(1.0f / 120));
  p = Vec::fma(p, r, Vec::set(1.0f / 24));
  p = Vec::fma(p, r, Vec::set(1.0f / 6));
  p = Vec::fma(p, r, Vec::set(0.5f));
  p = Vec::fma(p, r, Vec::set(1.0f));
  p = Vec::fma(p, r, Vec::set(1.0f));
  return Vec::scale2(p, n);
}

inline float exp_one(float x) {
  float lanes[Vec::N];
  exp(Vec::set(x)).store(lanes);
  return lanes[0];
}

// tanh: an odd minimax polynomial below 0.625 (Cephes, tanhf.c), (1 − e^−2|x|) / (1 + e^−2|x|) with x's sign above; relative error below 4e-7.
inline Vec tanh(Vec x) {
  const Vec one = Vec::set(1), zero = Vec::set(0), size = Vec::if_below(x, zero, zero - x, x), square = x * x;
  Vec p = Vec::set(-5.70498872745e-3f);
  p = Vec::fma(p, square, Vec::set(2.06390887954e-2f));
  p = Vec::fma(p, square, Vec::set(-5.37397155531e-2f));
  p = Vec::fma(p, square, Vec::set(1.33314422036e-1f));
  p = Vec::fma(p, square, Vec::set(-3.33332819422e-1f));
  p = Vec::fma(p * square, x, x);
  const Vec e = exp(size * Vec::set(-2)), far = (one - e) / (one + e);
  return Vec::if_below(size, Vec::set(0.625f), p, Vec::if_below(x, zero, zero - far, far));
}

inline float sum_of_squares(const float* x, int n) {
  Vec sum = Vec::set(0);
  int i = 0;
  for (; i + Vec::N <= n; i += Vec::N) sum = Vec::fma(Vec::load(x + i), Vec::load(x + i), sum);
  float total = sum.sum();
  for (; i < n; i++) total += x[i] * x[i];
  return total;
}

}  // namespace lorikeet::LORIKEET_ISA
