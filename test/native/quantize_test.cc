// Conversions and quantization against straightforward double-precision code. They have no instruction sets: each test runs once.
#include "numeric/quantize.h"
#include <limits>
#include "harness.h"

namespace lorikeet::test {
namespace {

constexpr DType kTypes[] = {DType::f32, DType::f16, DType::bf16};

bool once(const Kernels& kernels) {
  static const char* first = kernels.name;
  return kernels.name == first;
}

double value_at(const void* data, DType type, size_t i) {
  if (type == DType::f32) return static_cast<const float*>(data)[i];
  const uint16_t bits = static_cast<const uint16_t*>(data)[i];
  return type == DType::f16 ? from_half(bits) : from_bfloat(bits);
}

int integer_at(const std::vector<uint8_t>& packed, int bits, size_t i) {
  return bits == 8 ? packed[i] - 128 : (packed[i / 2] >> (i % 2 * 4) & 15) - 8;
}

struct Quantized {
  std::vector<uint8_t> packed;
  StoredRow scales;
};

Quantized quantize(const StoredRow& from, DType type, int64_t rows, int64_t columns, int bits, int64_t block, DType scale_type, int threads = 1) {
  const int64_t blocks = block_count(columns, block);
  Quantized q;
  q.packed.assign(rows * blocks * block * bits / 8, 0xcd);
  q.scales = store_row(std::vector<float>(rows * blocks), scale_type);
  quantize_rows(from.bytes.data(), type, rows, columns, bits, block, q.packed.data(), q.scales.bytes.data(), scale_type, threads);
  for (int64_t b = 0; b < rows * blocks; b++) q.scales.values[b] = value_at(q.scales.bytes.data(), scale_type, b);
  return q;
}

// Squared error of a row of blocks, and how far the worst element is off in steps.
double squared_error(const StoredRow& from, const Quantized& q, int64_t rows, int64_t columns, int bits, int64_t block) {
  const int64_t blocks = block_count(columns, block);
  double error = 0;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) {
      const int64_t b = r * blocks + c / block;
      const double off = q.scales.values[b] * integer_at(q.packed, bits, b * block + c % block) - from.values[r * columns + c];
      error += off * off;
    }
  return error;
}

// What the usual quantizer leaves: the extreme on −2^(bits−1), all else rounded to it.
double usual_error(const StoredRow& from, int64_t rows, int64_t columns, int bits, int64_t block) {
  const double middle = 1 << (bits - 1);
  double error = 0;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t first = 0; first < columns; first += block) {
      double extreme = 0;
      const int64_t end = std::min(first + block, columns);
      for (int64_t c = first; c < end; c++)
        if (std::abs(from.values[r * columns + c]) > std::abs(extreme)) extreme = from.values[r * columns + c];
      const double scale = extreme / -middle;
      for (int64_t c = first; c < end && scale != 0; c++) {
        const double x = from.values[r * columns + c], q = std::clamp(std::nearbyint(x / scale), -middle, middle - 1);
        error += (q * scale - x) * (q * scale - x);
      }
    }
  return error;
}

// Sums of uniform numbers: close enough to what trained weights look like.
std::vector<float> bell(Random& random, size_t n) {
  std::vector<float> v(n);
  for (float& x : v) x = 0.02f * (random.uniform() + random.uniform() + random.uniform() + random.uniform());
  return v;
}

}  // namespace

KERNEL_TEST(conversions_of_all_16_bit_numbers) {
  if (!once(kernels)) return;
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); i++) all[i] = static_cast<uint16_t>(i);
  for (DType type : {DType::f16, DType::bf16}) {
    std::vector<float> wide(all.size());
    std::vector<uint16_t> back(all.size());
    convert_elements(all.data(), type, wide.data(), DType::f32, all.size(), 3);
    convert_elements(wide.data(), DType::f32, back.data(), type, all.size(), 3);
    bool same = true;
    for (size_t i = 0; i < all.size(); i++) {
      const uint16_t exponent = type == DType::f16 ? 0x7c00 : 0x7f80;
      if ((i & exponent) == exponent) {
        const bool nan = (i & 0x7fff) != exponent;
        same &= nan ? std::isnan(wide[i]) && (back[i] & exponent) == exponent && (back[i] & 0x7fff) != exponent : std::isinf(wide[i]) && back[i] == i;
      } else {
        same &= wide[i] == value_at(all.data(), type, i) && std::signbit(wide[i]) == (i >> 15 == 1) && back[i] == i;
      }
    }
    check(same, "every 16-bit number there and back");
  }
}

KERNEL_TEST(conversions_round_to_nearest_even) {
  if (!once(kernels)) return;
  Random random(5);
  std::vector<float> from;
  for (int i = 0; i < 40000; i++) from.push_back(std::ldexp(random.uniform(), random.below(60) - 40));
  for (uint16_t h = 0; h < 0x7bff; h = static_cast<uint16_t>(h + 7)) {  // halves between two numbers
    const float low = from_half(h), high = from_half(static_cast<uint16_t>(h + 1)), middle = low + (high - low) / 2;
    for (float f : {middle, std::nextafter(middle, 0.f), std::nextafter(middle, 1e9f), -middle}) from.push_back(f);
  }
  for (float f : {0.f, -0.f, 65504.f, 65519.99f, 65520.f, -1e30f, 1e-40f}) from.push_back(f);
  std::vector<uint16_t> half(from.size()), bfloat(from.size()), through(from.size());
  convert_elements(from.data(), DType::f32, half.data(), DType::f16, from.size(), 2);
  convert_elements(from.data(), DType::f32, bfloat.data(), DType::bf16, from.size(), 2);
  convert_elements(bfloat.data(), DType::bf16, through.data(), DType::f16, from.size(), 1);
  bool halves = true, bfloats = true, between = true;
  for (size_t i = 0; i < from.size(); i++) {
    halves &= half[i] == to_half(from[i]);
    bfloats &= bfloat[i] == to_bfloat(from[i]);
    between &= through[i] == to_half(from_bfloat(bfloat[i]));
  }
  check(halves, "float16");
  check(bfloats, "bfloat16");
  check(between, "bfloat16 to float16");
}

KERNEL_TEST(sources_may_lie_at_odd_addresses) {
  if (!once(kernels)) return;
  Random random(6);
  const StoredRow row = store_row(random.floats(96), DType::bf16);
  std::vector<uint8_t> shifted(row.bytes.size() + 1);
  std::copy(row.bytes.begin(), row.bytes.end(), shifted.begin() + 1);
  std::vector<float> wide(96);
  convert_elements(shifted.data() + 1, DType::bf16, wide.data(), DType::f32, 96, 1);
  bool same = true;
  for (size_t i = 0; i < 96; i++) same &= wide[i] == row.values[i];
  check(same, "converted");
}

KERNEL_TEST(quantized_blocks_hold_their_rows) {
  if (!once(kernels)) return;
  Random random(7);
  for (int bits : {4, 8})
    for (int64_t columns : {32, 40, 64, 80, 688})
      for (int64_t block : {16, 32, 128})
        for (DType type : kTypes)
          for (DType scale_type : kTypes) {
            const int64_t rows = 5, blocks = block_count(columns, block);
            const StoredRow from = store_row(bell(random, rows * columns), type);
            const Quantized q = quantize(from, type, rows, columns, bits, block, scale_type);
            bool nearest = true, filled = true;
            for (int64_t r = 0; r < rows; r++)
              for (int64_t c = 0; c < blocks * block; c++) {
                const int64_t b = r * blocks + c / block;
                const int got = integer_at(q.packed, bits, b * block + c % block), middle = 1 << (bits - 1);
                if (c >= columns) {
                  filled &= got == 0;
                  continue;
                }
                const double steps = from.values[r * columns + c] / q.scales.values[b];
                nearest &= std::abs(got - std::clamp(steps, -double(middle), middle - 1.0)) <= 0.5001;
              }
            check(nearest, "every integer is the nearest to the scale that is kept");
            check(filled, "zeros after a row's end");
          }
}

KERNEL_TEST(quantization_leaves_less_than_the_usual_scale) {
  if (!once(kernels)) return;
  Random random(8);
  const int64_t rows = 64, columns = 256, block = 32;
  for (int bits : {4, 8})
    for (DType scale_type : kTypes) {
      const StoredRow from = store_row(bell(random, rows * columns), DType::bf16);
      const double got = squared_error(from, quantize(from, DType::bf16, rows, columns, bits, block, scale_type), rows, columns, bits, block);
      const double usual = usual_error(from, rows, columns, bits, block);
      const std::string what = "squared error with " + std::to_string(bits) + " bits is " + std::to_string(got / usual) + " of the usual";
      check(got <= usual * (bits == 4 ? 0.92 : 1.0), what);
    }
}

KERNEL_TEST(quantization_of_extraordinary_blocks) {
  if (!once(kernels)) return;
  const float infinity = std::numeric_limits<float>::infinity();
  for (int bits : {4, 8})
    for (float extreme : {0.f, 1e-42f, 3.f, -3.f, infinity, std::nanf("")}) {
      std::vector<float> values(32, 0.f);
      values[5] = extreme;
      const Quantized q = quantize(store_row(values, DType::f32), DType::f32, 1, 32, bits, 32, DType::f32);
      const double got = q.scales.values[0] * integer_at(q.packed, bits, 5);
      if (!std::isfinite(extreme)) check(std::isnan(q.scales.values[0]), "a scale that is not a number");
      else check_near(got, std::abs(extreme) < 1e-30f ? 0 : extreme, std::abs(extreme) * 1e-6, "the one number of a block");
    }
}

KERNEL_TEST(quantization_does_not_depend_on_threads) {
  if (!once(kernels)) return;
  Random random(9);
  const StoredRow from = store_row(bell(random, 37 * 80), DType::f16);
  const Quantized one = quantize(from, DType::f16, 37, 80, 4, 32, DType::f16), five = quantize(from, DType::f16, 37, 80, 4, 32, DType::f16, 5);
  check(one.packed == five.packed && one.scales.bytes == five.scales.bytes, "the same bytes");
}

}  // namespace lorikeet::test
