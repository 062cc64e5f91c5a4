// What folds adapters, for each instruction set's kernels against float64, and whole primitives on any number of threads.
#include <array>
#include <limits>
#include <utility>
#include "fold/multiply.h"
#include "fold/norms.h"
#include "fold/place.h"
#include "harness.h"

namespace lorikeet::test {
namespace {

constexpr DType kTypes[] = {DType::f32, DType::f16, DType::bf16};

// A matrix at an odd address, exactly as long as its elements (the sanitizer sees a read past its end), and its values.
struct Stored {
  std::vector<uint8_t> bytes;
  std::vector<double> values;  // [rows, columns], as the matrix is used
  Matrix matrix;
};

Stored stored(Random& random, int64_t rows, int64_t columns, DType type, bool transposed) {
  const int64_t lines = transposed ? columns : rows, line = transposed ? rows : columns;
  const StoredRow row = store_row(random.floats(static_cast<size_t>(lines * line)), type);
  Stored s;
  s.bytes.resize(row.bytes.size() + 1);
  std::copy(row.bytes.begin(), row.bytes.end(), s.bytes.begin() + 1);
  s.matrix = {s.bytes.data() + 1, type, rows, columns, transposed ? 1 : line, transposed ? line : 1};
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++) s.values.push_back(row.values[static_cast<size_t>(transposed ? j * line + i : i * line + j)]);
  return s;
}

struct Aligned {
  explicit Aligned(int64_t floats) : values(static_cast<size_t>(floats) + 16) {}
  float* data() { return values.data() + (64 - reinterpret_cast<uintptr_t>(values.data()) % 64) % 64 / 4; }
  std::vector<float> values;
};

bool once(const Kernels& kernels) {
  static const char* first = kernels.name;
  return kernels.name == first;
}

KERNEL_TEST(tiles_of_any_matrix) {
  Random random(11);
  for (DType type : kTypes)
    for (bool transposed : {false, true})
      for (auto [rows, columns] : {std::pair{1, 1}, {5, 3}, {17, 33}, {70, 50}}) {
        const Stored m = stored(random, rows, columns, type, transposed);
        const int row = rows / 3, column = columns / 4, width = (columns + 15) / 16 * 16;
        std::vector<float> tile(static_cast<size_t>((rows - row) * width), 7);
        kernels.read_tile(m.matrix, row, rows - row, column, columns - column, tile.data(), width);
        for (int r = 0; r < rows - row; r++)
          for (int c = 0; c < width; c++) {
            const double want = c < columns - column ? m.values[static_cast<size_t>((row + r) * columns + column + c)] : 0;
            check(tile[static_cast<size_t>(r * width + c)] == want, "element of a tile");
          }
      }
}

KERNEL_TEST(rows_are_scaled_and_rounded) {
  Random random(12);
  for (DType type : kTypes)
    for (int count : {1, 16, 37}) {
      std::vector<float> from = random.floats(static_cast<size_t>(count)), scaled;
      for (float x : from) scaled.push_back(x * 0.25f);
      const StoredRow want = store_row(scaled, type);
      std::vector<uint8_t> to(want.bytes.size());
      kernels.write_row(from.data(), count, 0.25f, type, to.data());
      check(to == want.bytes, "a row's bits");
    }
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> plain = {1, -7, 3}, infinite = {1, -inf}, no_number = {nan, 2, 3, 4, 5};
  check(kernels.largest_magnitude(plain.data(), 3) == 7, "the largest magnitude");
  check(kernels.largest_magnitude(plain.data(), 0) == 0, "of nothing");
  check(kernels.largest_magnitude(infinite.data(), 2) == inf && kernels.largest_magnitude(no_number.data(), 5) == inf, "what is not finite is above all");
}

KERNEL_TEST(int8_rows_are_rounded_to_even_and_stay_within_127) {
  std::vector<float> from;
  std::vector<int> want;
  for (int i = -127; i < 127; i++) {
    for (float part : {-0.49f, 0.0f, 0.49f}) from.push_back(i + part), want.push_back(std::max(i, -127));
    from.push_back(i + 0.5f), want.push_back(i % 2 ? i + 1 : i);
  }
  for (float beyond : {127.4f, 127.6f, 1e30f}) from.push_back(beyond), want.push_back(127), from.push_back(-beyond), want.push_back(-127);
  std::vector<uint8_t> to(from.size());
  kernels.write_row(from.data(), static_cast<int64_t>(from.size()), 1, DType::i8, to.data());
  for (size_t i = 0; i < from.size(); i++) check(static_cast<int8_t>(to[i]) == want[i], std::to_string(from[i]));
}

KERNEL_TEST(products_of_any_shape) {
  Random random(13);
  for (auto [m, k, n] : {std::array<int, 3>{1, 1, 1}, {3, 5, 7}, {16, 128, 48}, {35, 300, 101}, {100, 129, 20}})
    for (DType type : kTypes)
      for (int way = 0; way < 4; way++) {
        const Stored left = stored(random, m, k, type, way & 1), right = stored(random, k, n, type, way & 2);
        std::vector<float> start = random.floats(static_cast<size_t>(m * n)), alone;
        Aligned packed(packed_left_floats(m, k));
        for (int threads : {1, 3}) {
          std::vector<float> out = start;
          kernels.add_product({left.matrix, right.matrix, 0.5f, out.data(), packed.data()}, on_threads(threads));
          if (threads == 1) alone = out;
          check(out == alone, "the same on any number of threads");
        }
        for (int i = 0; i < m; i++)
          for (int j = 0; j < n; j++) {
            double want = 0, size = 0;
            for (int t = 0; t < k; t++) {
              const double term = left.values[static_cast<size_t>(i * k + t)] * right.values[static_cast<size_t>(t * n + j)];
              want += term;
              size += std::abs(term);
            }
            const auto at = static_cast<size_t>(i * n + j);
            check_near(alone[at], start[at] + 0.5 * want, 2e-7 * (1 + size), "element of a product");
          }
      }
}

KERNEL_TEST(rows_with_rows) {
  Random random(14);
  for (auto [out, k, rank] : {std::array<int, 3>{1, 1, 1}, {50, 300, 3}, {97, 129, 17}})
    for (DType type : kTypes) {
      const Stored w = stored(random, out, k, type, false), a = stored(random, rank, k, type, false);
      std::vector<double> squares(static_cast<size_t>(out)), products(static_cast<size_t>(out * rank));
      Aligned packed(packed_left_floats(rank, k));
      kernels.row_products({w.matrix, a.matrix, squares.data(), products.data(), packed.data()}, on_threads(2));
      const auto dot = [k = k](const std::vector<double>& x, int i, const std::vector<double>& y, int j) {
        double sum = 0;
        for (int t = 0; t < k; t++) sum += x[static_cast<size_t>(i * k + t)] * y[static_cast<size_t>(j * k + t)];
        return sum;
      };
      for (int o = 0; o < out; o++) {
        check_near(squares[static_cast<size_t>(o)], dot(w.values, o, w.values, o), 1e-6 * k, "a squared norm");
        for (int j = 0; j < rank; j++) check_near(products[static_cast<size_t>(o * rank + j)], dot(w.values, o, a.values, j), 1e-6 * k, "a row with a row");
      }
    }
}

// Large enough that threads are started.
KERNEL_TEST(primitives_do_not_depend_on_threads) {
  if (!once(kernels)) return;
  Random random(15);
  const int out = 1100, k = 700, rank = 90;
  const Stored w = stored(random, out, k, DType::bf16, false), a = stored(random, rank, k, DType::f16, false), b = stored(random, out, rank, DType::f32, false);
  std::vector<double> norms[2];
  std::vector<float> rows[2];
  for (int i = 0; i < 2; i++) {
    norms[i].resize(out);
    fold::square_norms(w.matrix, a.matrix, b.matrix, 0.7, norms[i].data(), 1 + 2 * i);
    rows[i].resize(static_cast<size_t>(out * k));
    fold::read_rows(rows[i].data(), w.matrix, 1 + 2 * i);
    check(std::equal(rows[i].begin(), rows[i].end(), w.values.begin()), "rows as they lie there");
    fold::add_product(rows[i].data(), b.matrix, a.matrix, 0.7f, 1 + 2 * i);
    fold::multiply_by_product(rows[i].data(), b.matrix, a.matrix, 1 + 2 * i);
    fold::multiply_elements(rows[i].data(), w.matrix, 1 + 2 * i);
  }
  check(norms[0] == norms[1], "norms");
  check(rows[0] == rows[1], "rows");
  double worst = 0;
  for (int o = 0; o < out; o += 111) {
    double square = 0;
    for (int i = 0; i < k; i++) {
      double x = w.values[static_cast<size_t>(o * k + i)];
      for (int j = 0; j < rank; j++) x += 0.7 * b.values[static_cast<size_t>(o * rank + j)] * a.values[static_cast<size_t>(j * k + i)];
      square += x * x;
    }
    worst = std::max(worst, std::abs(norms[0][static_cast<size_t>(o)] / square - 1));
  }
  check_near(worst, 0, 1e-6, "relative error of the norms");
}

KERNEL_TEST(factors_meet_in_the_middle) {
  if (!once(kernels)) return;
  const std::vector<float> a = {1e6f, 2, 1e-7f, 0, 1e30f, 1}, b = {1e-6f, 1e3f, 0, 0, 1, 0};  // b as the file has it: [out, rank]
  const Matrix left{reinterpret_cast<const uint8_t*>(a.data()), DType::f32, 3, 2, 2, 1};
  const Matrix right{reinterpret_cast<const uint8_t*>(b.data()), DType::f32, 3, 2, 1, 3};
  alignas(64) uint8_t bytes[6 * 64] = {};
  int32_t places[12];
  for (int i = 0; i < 6; i++) {  // four rows in a block, then one in each frame
    places[2 * i] = i < 4 ? 0 : i - 3;
    places[2 * i + 1] = i < 4 ? i * 64 : 0;
  }
  const fold::Image image{bytes, places, 1, 256, 64, DType::f16};
  check(!fold::place_factors(image, left, 0, right, 3, 2, 1), "they fit");
  const auto at = [&](int row, int i) {
    uint16_t bits;
    std::memcpy(&bits, bytes + row * 64 + 2 * i, 2);
    return double(from_half(bits));
  };
  check_near(at(0, 0) * at(3, 0) / 2, 1, 1e-3, "a large A with a small B");
  check_near(at(1, 0) * at(4, 0) / 2e-4, 1, 1e-3, "a small A with a large B");
  check(std::abs(std::log2(at(0, 0) / at(3, 0))) < 1.01 && std::abs(std::log2(at(1, 0) / at(4, 0))) < 1.01, "in the middle");
  check(at(2, 0) == 0 && at(2, 1) == 0 && at(5, 0) == 0, "a pair that adds nothing is zeros, however large its other side");
  const auto excess = fold::place_factors(image, left, 0, right, 3, 1e20, 1);
  check(excess && excess->row == 0 && excess->a == 1e6f, "a pair beyond float16 is named");
}

// Pairs of rows, and rows in parts, as int8 with their scales behind them: each value within half a unit of what it was.
KERNEL_TEST(int8_rows_have_their_scales_behind_them) {
  if (!once(kernels)) return;
  Random random(16);
  const int rank = 5, in = 300, out = 70;
  auto a = random.floats(static_cast<size_t>(rank * in)), b = random.floats(static_cast<size_t>(rank * out));
  for (int i = 0; i < in; i++) a[i] *= 1e-12f;                         // tiny beside a large B: one scale for both
  for (int i = 0; i < out; i++) b[i] *= 1e12f, b[2 * out + i] = 0;     // row 2 adds nothing
  const Matrix left{reinterpret_cast<const uint8_t*>(a.data()), DType::f32, rank, in, in, 1};
  const Matrix right{reinterpret_cast<const uint8_t*>(b.data()), DType::f32, rank, out, out, 1};
  alignas(64) uint8_t bytes[(2 * rank + 1) * 320];
  std::fill(bytes, bytes + sizeof bytes, 0x5a);
  int32_t places[2 * (2 * rank + 1)];
  for (int i = 0; i < 2 * rank + 1; i++) places[2 * i] = 0, places[2 * i + 1] = i * 320;
  const fold::Image image{bytes, places, 1, sizeof bytes, 64, DType::i8};
  const auto at = [&](int row, int i) { return double(static_cast<int8_t>(bytes[row * 320 + i])); };
  const float* scales = image.scales(0, rank);
  check(!fold::place_factors(image, left, 0, right, rank + 1, -2, 1), "they fit");
  for (int j = 0; j < rank; j++) {
    double most_a = 0, most_b = 0, worst = 0;
    for (int i = 0; i < in; i++) most_a = std::max(most_a, std::abs(double(a[j * in + i])));
    for (int o = 0; o < out; o++) most_b = std::max(most_b, std::abs(double(b[j * out + o])));
    for (int i = 0; i < in; i++)
      for (int o = 0; o < out; o++)
        worst = std::max(worst, std::abs(scales[j] * at(j, i) * at(rank + 1 + j, o) - -2.0 * a[j * in + i] * b[j * out + o]));
    // Half a unit of either side beside the other's largest.
    check(worst <= 2 * most_a * most_b * 1.01 / 127, "pair " + std::to_string(j) + " errs by " + std::to_string(worst));
    check(j == 2 ? scales[j] == 0 && at(j, 0) == 0 : scales[j] < 0, "its scale");
  }
  const auto excess = fold::place_factors(image, left, 0, right, rank + 1, 1e38, 1);
  check(excess && excess->row == 0, "a pair beyond float32 is named");

  for (int first : {0, 3}) {
    const int count = first ? 2 : 3;
    const Matrix part{reinterpret_cast<const uint8_t*>(a.data() + first * in), DType::f32, count, in, in, 1};
    check(fold::place_rows(image, 0, rank, first, part, 1) > (first ? 0.5f : 0.9f), "the largest of all");
  }
  for (int j = 0; j < rank; j++)
    for (int i = 0; i < in; i++) check_near(scales[j] * at(j, i) / scales[j], double(a[j * in + i]) / scales[j], 0.501, "a row's value");
  std::vector<float> untrained(static_cast<size_t>(in), 0.0f);
  fold::place_rows(image, 0, rank, 4, {reinterpret_cast<const uint8_t*>(untrained.data()), DType::f32, 1, in, in, 1}, 1);
  check(scales[4] == 0 && at(4, 7) == 0, "a row of zeros");
}

}  // namespace
}  // namespace lorikeet::test
