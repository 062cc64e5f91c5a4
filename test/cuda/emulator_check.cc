// The emulator's own conversions against the slow ones of the kernels' tests: every 16-bit number, and floats of every size and next to every tie.
#include "emulator_check.h"
#include "../native/harness.h"
#include "emulator.h"

namespace lorikeet::test {

void check_emulator() {
  using cuda::BF16, cuda::F16;
  int wrong = 0;
  for (uint32_t bits = 0; bits < 0x10000; bits++) {
    const auto half = static_cast<uint16_t>(bits);
    if ((half & 0x7fff) <= 0x7c00) {
      wrong += (half & 0x7fff) < 0x7c00 && cuda::as_bits(F16::decode(half)) != cuda::as_bits(from_half(half));
      wrong += F16::encode(F16::decode(half)) != half;
      // Half way to the next number away from zero, and a little to either side of that.
      const float next = (half & 0x7fff) < 0x7bff ? F16::decode(half + 1) : 0, middle = (F16::decode(half) + next) / 2;
      for (const float value : {std::nextafter(middle, 0.0f), middle, std::nextafter(middle, 2 * next)})
        wrong += (half & 0x7fff) < 0x7bff && F16::encode(value) != to_half(value);
    } else {
      wrong += !std::isnan(F16::decode(half)) || F16::encode(F16::decode(half)) != 0x7fff;
    }
    const float value = BF16::decode(half);
    wrong += std::isnan(value) ? BF16::encode(value) != 0x7fff : BF16::encode(value) != half;
  }
  check(wrong == 0, std::to_string(wrong) + " conversions of 16-bit numbers are wrong");

  Random random(3);
  for (int i = 0; i < 100000; i++) {
    const float value = std::ldexp(random.uniform(), random.below(60) - 35);
    wrong += F16::encode(value) != to_half(value) || BF16::encode(value) != to_bfloat(value);
  }
  check(wrong == 0, std::to_string(wrong) + " conversions of floats are wrong");
}

}  // namespace lorikeet::test
