// A group of weights as 4-bit numbers with a scale and a least value.
#pragma once
#include "../linear.h"

namespace lorikeet {

// w[i] ≈ scale · numbers[i] + least; both factors in float16.
struct FourBits {
  uint16_t scale, least;
  uint8_t numbers[kLinearGroup];
};

// values: [kLinearGroup], finite, at most 2 in magnitude; those from `count` on are fillers that do not take part in the fit. Several grids about the one that reaches from the least to
// the largest value are tried; each is corrected to the scale and least value with the least squared error for the numbers it gave, and the best is taken.
FourBits fit_four_bits(const float* values, int64_t count);

}  // namespace lorikeet
