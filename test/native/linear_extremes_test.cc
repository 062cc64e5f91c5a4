// Products of packed weights where a product of bytes could saturate, a scale vanish or overflow, or a NaN spread.
#include <limits>
#include "linear_cases.h"

namespace {
using namespace lorikeet;
using namespace lorikeet::test;

std::string named(const LinearKernels& kernels, WeightForm form, const std::string& what) {
  return std::string(kernels.name) + " " + form_name(form) + ": " + what;
}

// All weights and activations at an end of their range, in every combination of signs: the largest sums that there are.
KERNEL_TEST(linear_sums_of_extremes_do_not_saturate) {
  constexpr int64_t kIn = 64, kOut = 32;
  for (const auto* linear : linear_kernels_of(kernels))
    for (const WeightForm form : kForms)
      for (const float w : {127.0f, -127.0f})
        for (const float x : {127.0f, -127.0f})
          for (const bool alternate : {false, true}) {
            std::vector<float> weights(kIn * kOut, w), inputs(3 * kIn, x);
            if (alternate)
              for (size_t i = 0; i < weights.size(); i += 2) weights[i] = -w;
            if (alternate)
              for (size_t i = 0; i < inputs.size(); i += 2) inputs[i] = -x;
            const PackedWeight weight(*linear, {form, kIn, kOut}, weights);
            for (const float y : product(*linear, weight, inputs))
              check_near(y, w * x * kIn, std::abs(w * x) * kIn * 1e-3, named(*linear, form, "sums of extremes"));
          }
}

KERNEL_TEST(linear_rows_with_outliers) {
  constexpr int64_t kIn = 128, kOut = 33;
  for (const auto* linear : linear_kernels_of(kernels))
    for (const WeightForm form : kForms) {
      Random random(23);
      const PackedWeight weight(*linear, {form, kIn, kOut}, random.floats(kIn * kOut));
      auto x = random.floats(2 * kIn);
      x[5] = 3e30f;
      x[kIn + 70] = 1e-42f;
      x[kIn + 71] = -std::numeric_limits<float>::denorm_min();
      const auto y = product(*linear, weight, x);
      for (int64_t t = 0; t < 2; t++) {
        const auto seen = rounded_inputs(*linear, form, &x[t * kIn], kIn);
        for (int64_t o = 0; o < kOut; o++) {
          const auto row = weight.row(o);
          double sum = 0, size = 0;
          for (int64_t i = 0; i < kIn; i++) sum += row[i] * seen[i], size += std::abs(row[i] * seen[i]);
          check_near(y[t * kOut + o] / size, sum / size, 1e-5, named(*linear, form, "outliers"));
        }
      }
    }
}

KERNEL_TEST(linear_of_zeros_and_tiny_numbers) {
  constexpr int64_t kIn = 70, kOut = 40;
  for (const auto* linear : linear_kernels_of(kernels))
    for (const WeightForm form : kForms) {
      Random random(29);
      const auto values = random.floats(kIn * kOut);
      const PackedWeight weight(*linear, {form, kIn, kOut}, values);
      for (const float y : product(*linear, weight, std::vector<float>(2 * kIn, 0))) check(y == 0, named(*linear, form, "of zero rows is zero"));
      for (const float y : product(*linear, weight, std::vector<float>(2 * kIn, 1e-40f))) check(std::abs(y) < 1e-37f, named(*linear, form, "of denormal rows"));
      for (const float tiny : {0.0f, 1e-40f, 1e-33f, 1e-36f}) {
        const PackedWeight nothing(*linear, {form, kIn, kOut}, std::vector<float>(kIn * kOut, tiny));
        for (const float y : product(*linear, nothing, std::vector<float>(kIn, 1))) check(std::abs(y) <= 1.1f * kIn * tiny, named(*linear, form, "of tiny weights"));
      }
      // Large ones keep their value.
      const PackedWeight large(*linear, {form, kIn, kOut}, std::vector<float>(kIn * kOut, 6e4f));
      for (const float y : product(*linear, large, std::vector<float>(kIn, 1))) check_near(y / (6e4f * kIn), 1, 0.01, named(*linear, form, "large weights"));
      if (form == WeightForm::f16) continue;
      const PackedWeight larger(*linear, {form, kIn, kOut}, std::vector<float>(kIn * kOut, 1e36f));
      for (const float y : product(*linear, larger, std::vector<float>(kIn, 1))) check_near(y / (1e36f * kIn), 1, 0.01, named(*linear, form, "very large weights"));
    }
}

KERNEL_TEST(linear_keeps_what_is_no_number_in_its_row) {
  constexpr int64_t kIn = 96, kOut = 50, kRows = 9;
  for (const auto* linear : linear_kernels_of(kernels))
    for (const WeightForm form : kForms)
      for (const float bad : {NAN, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
        Random random(31);
        auto values = random.floats(kIn * kOut);
        auto x = random.floats(kRows * kIn);
        {
          const PackedWeight weight(*linear, {form, kIn, kOut}, values);
          const auto before = product(*linear, weight, x);
          x[4 * kIn + 40] = bad;
          const auto after = product(*linear, weight, x);
          bool others = true, lost = true;
          for (int64_t t = 0; t < kRows; t++)
            for (int64_t o = 0; o < kOut; o++) {
              const float y = after[t * kOut + o];
              if (t == 4)
                lost = lost && (std::isnan(bad) || rounds_to_bytes(form) ? std::isnan(y) : !std::isfinite(y));
              else
                others = others && y == before[t * kOut + o];
            }
          check(lost, named(*linear, form, "a row with " + std::to_string(bad) + " is no number"));
          check(others, named(*linear, form, "the other rows stay"));
        }
        x = random.floats(kRows * kIn);
        values[7 * kIn + 3] = bad;
        const PackedWeight broken(*linear, {form, kIn, kOut}, values);
        const auto y = product(*linear, broken, x);
        bool others = true, lost = true;
        for (int64_t t = 0; t < kRows; t++)
          for (int64_t o = 0; o < kOut; o++) (o == 7 ? lost : others) &= o == 7 ? !std::isfinite(y[t * kOut + o]) : std::isfinite(y[t * kOut + o]);
        check(lost && others, named(*linear, form, "an output whose weights hold " + std::to_string(bad) + " is lost, alone"));
      }
}

}  // namespace
