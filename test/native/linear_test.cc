// Products of packed weights against float64, on every instruction set's own layout.
#include "linear_cases.h"

namespace {
using namespace lorikeet;
using namespace lorikeet::test;

std::string what_of(const LinearKernels& kernels, const LinearShape& shape, int64_t rows) {
  return std::string(kernels.name) + " " + form_name(shape.form) + " [" + std::to_string(rows) + ", " + std::to_string(shape.in) + "] → " + std::to_string(shape.out);
}

constexpr struct {
  int64_t in, out;
} kShapes[] = {{576, 192}, {64, 32}, {32, 1}, {1, 33}, {33, 70}, {100, 48}, {1536, 40}};

KERNEL_TEST(linear_against_float64) {
  for (const auto* linear : linear_kernels_of(kernels))
    for (const WeightForm form : kForms)
      for (const auto& [in, out] : kShapes) {
        Random random(static_cast<uint64_t>(in * 131 + out));
        const LinearShape shape{form, in, out};
        const PackedWeight weight(*linear, shape, random.floats(in * out));
        std::vector<std::vector<float>> w;
        for (int64_t o = 0; o < out; o++) w.push_back(weight.row(o));
        for (const int64_t rows : {1, 2, 3, 5, 16, 33, 256}) {
          if (rows == 256 && in > 100) continue;  // the blocks of rows are those of 33
          const auto x = random.floats(rows * in);
          const auto y = product(*linear, weight, x, rows == 33 ? 3 : 1);
          double worst = 0;
          for (int64_t t = 0; t < rows; t++) {
            const auto seen = rounded_inputs(*linear, form, &x[t * in], in);
            for (int64_t o = 0; o < out; o++) {
              double sum = 0, size = 1e-30;
              for (int64_t i = 0; i < in; i++) sum += w[o][i] * seen[i], size += std::abs(w[o][i] * seen[i]);
              const double off = std::abs(y[t * out + o] - sum) / size;
              worst = off <= worst ? worst : off;  // a NaN becomes the worst
            }
          }
          check(worst <= 1e-5, what_of(*linear, shape, rows) + ": off by " + std::to_string(worst * 1e6) + " millionths");
        }
      }
}

KERNEL_TEST(linear_rounds_weights_as_it_says) {
  for (const auto* linear : linear_kernels_of(kernels)) {
    constexpr int64_t kIn = 96, kOut = 40;
    Random random(3);
    std::vector<float> values = random.floats(kIn * kOut);
    for (int64_t i = 0; i < kIn; i++) values[i] *= 1e-3f;  // a row with a scale of its own
    for (const WeightForm form : kForms) {
      const PackedWeight weight(*linear, {form, kIn, kOut}, values);
      double off = 0, squares = 0;
      for (int64_t o = 0; o < kOut; o++) {
        const auto row = weight.row(o);
        float most = 0;
        for (int64_t i = 0; i < kIn; i++) most = std::max(most, std::abs(values[o * kIn + i]));
        for (int64_t i = 0; i < kIn; i++) {
          const float v = values[o * kIn + i];
          const std::string what = std::string(form_name(form)) + " of " + std::to_string(v);
          if (form == WeightForm::bf16) check(row[i] == from_bfloat(to_bfloat(v)), what);
          if (form == WeightForm::f16) check(row[i] == from_half(to_half(v)), what);
          if (form == WeightForm::int8) check(std::abs(row[i] - v) <= most / 127 * 0.5001f, what);
          if (form == WeightForm::int4) check(std::abs(row[i] - v) <= 2 * most / 8, what);  // the fit may clip an end for finer steps
          off += std::pow((row[i] - v) / most, 2);
          squares += std::pow(v / most, 2);
        }
      }
      // Uniform values on a grid of 2 / 15 of their size would be off by 0.067; the fit does better.
      if (form == WeightForm::int4) check(std::sqrt(off / squares) < 0.064, "int4 is off by " + std::to_string(std::sqrt(off / squares)));
    }
  }
}

// Products that share their rows, with biases, residuals, and rows that lie apart.
KERNEL_TEST(linear_products_share_rows) {
  for (const auto* linear : linear_kernels_of(kernels))
    for (const WeightForm form : kForms)
      for (const int64_t rows : {1, 9}) {
        constexpr int64_t kIn = 160, kXStride = 170, kYStride = 120;
        constexpr int64_t kOut[] = {96, 33, 32};
        Random random(7);
        std::vector<PackedWeight> weights;
        std::vector<std::vector<float>> bias, y, before;
        const auto x = random.floats(rows * kXStride);
        std::vector<float> dense;
        for (int64_t t = 0; t < rows; t++) dense.insert(dense.end(), &x[t * kXStride], &x[t * kXStride] + kIn);
        LinearArgs args;
        args.x = x.data();
        args.rows = rows;
        args.x_stride = kXStride;
        args.products = 3;
        for (int p = 0; p < 3; p++) {
          weights.emplace_back(*linear, LinearShape{form, kIn, kOut[p]}, random.floats(kIn * kOut[p]));
          bias.push_back(random.floats(kOut[p]));
          y.push_back(random.floats(rows * kYStride));
        }
        before = y;
        for (int p = 0; p < 3; p++) {
          args.shape[p] = weights[p].shape();
          args.packed[p] = weights[p].data();
          args.bias[p] = p == 1 ? nullptr : bias[p].data();
          args.y[p] = y[p].data();
          args.y_stride[p] = kYStride;
        }
        linear->linear(args, on_threads(2));
        for (int p = 0; p < 3; p++) {
          const auto alone = product(*linear, weights[p], dense);
          bool same = true;
          for (int64_t t = 0; t < rows; t++)
            for (int64_t o = 0; o < kYStride; o++) {
              const int64_t at = t * kYStride + o;
              float want = before[p][at];
              if (o < kOut[p]) want = args.bias[p] ? alone[t * kOut[p] + o] + bias[p][o] : alone[t * kOut[p] + o];
              same = same && y[p][at] == want;
            }
          check(same, what_of(*linear, weights[p].shape(), rows) + ", product " + std::to_string(p) + " of three");
        }
      }
}

KERNEL_TEST(linear_rows_are_alone) {
  for (const auto* linear : linear_kernels_of(kernels))
    for (const WeightForm form : kForms) {
      constexpr int64_t kIn = 420, kOut = 75, kRows = 300;  // more than are laid out at once
      Random random(19);
      const PackedWeight weight(*linear, {form, kIn, kOut}, random.floats(kIn * kOut));
      const auto x = random.floats(kRows * kIn);
      const auto together = product(*linear, weight, x, 2);
      bool same = true;
      for (int64_t rows = 1; rows <= 27; rows++) {
        const int64_t first = random.below(static_cast<int32_t>(kRows - rows + 1));
        const auto some = product(*linear, weight, {x.begin() + first * kIn, x.begin() + (first + rows) * kIn});
        same = same && std::memcmp(some.data(), &together[first * kOut], some.size() * sizeof(float)) == 0;
      }
      check(same, std::string(linear->name) + " " + form_name(form) + ": a row's bits do not depend on the others");
    }
}

}  // namespace
