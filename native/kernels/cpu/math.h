// exp for vectors: argument reduction by ln 2 in two parts and a polynomial of degree 6; relative error below 2e-7.
#pragma once

namespace lorikeet::LORIKEET_ISA {

// e^x for x ≤ 0 (larger x up to 88 works too); below −87.3 it is e^−87.3 ≈ 1.2e-38, which any sum of softmax terms (≥ 1) swallows; −inf gives the same.
inline Vec exp(Vec x) {
  x = Vec::max(x, Vec::set(-87.3f));
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
  return p * Vec::exp2i(n);
}

inline float exp_one(float x) {
  float lanes[Vec::N];
  exp(Vec::set(x)).store(lanes);
  return lanes[0];
}

}  // namespace lorikeet::LORIKEET_ISA
