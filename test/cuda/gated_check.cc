#include "gated_check.h"
#include "kernels/cuda/gated_activation.h"
#include "world.h"

namespace lorikeet::test {
namespace {

double activated_exactly(Activation kind, double x) {
  switch (kind) {
    case Activation::silu: return x / (1 + std::exp(-x));
    case Activation::gelu_tanh: return 0.5 * x * (1 + std::tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case Activation::gelu: return 0.5 * x * std::erfc(-x * 0.70710678118654752440);
    default: return x > 0 ? x : 0;
  }
}

struct Gated {
  DType type;
  Activation activation;
  int32_t rows, width;
  std::vector<uint16_t> gate, up;

  // `packed`: gate and up in one matrix. `over`: 0 into another buffer, 1 over gate, 2 over up.
  std::vector<uint16_t> run(bool packed, int over) const {
    std::vector<uint16_t> both;
    for (int32_t row = 0; packed && row < rows; row++)
      for (const auto* half : {&gate, &up}) both.insert(both.end(), half->begin() + int64_t(row) * width, half->begin() + int64_t(row + 1) * width);
    OnDevice<uint16_t> first(packed ? both : gate), second(up), out(gate.size());
    cuda::GatedOp op;
    op.gate = first.data();
    op.up = packed ? first.data() + width : second.data();
    op.y = over == 1 ? first.data() : over == 2 ? second.data() : out.data();
    op.rows = rows;
    op.width = width;
    op.stride = packed ? 2 * width : width;
    op.dtype = type;
    op.activation = activation;
    must(cuda::gated_activation(op, 3, nullptr), "gated_activation");
    return over == 1 ? first.get() : over == 2 ? second.get() : out.get();
  }
};

void check_one_gated(const Gated& c, const std::string& what) {
  const auto y = c.run(false, 0);
  const double rounding = c.type == DType::f16 ? 0x1p-11 : 0x1p-8, least = c.type == DType::f16 ? 0x1p-25 : 1e-38;
  double worst = 0;
  for (size_t i = 0; i < y.size(); i++) {
    const double gate = restored(c.gate[i], c.type), up = restored(c.up[i], c.type), want = activated_exactly(c.activation, gate) * up;
    const double allowed = 1.01 * rounding * std::abs(want) + 4e-7 * std::abs(gate * up) + least;
    const double off = std::abs(restored(y[i], c.type) - want) / allowed;
    worst = off <= worst ? worst : off;
    if (!(off <= 1)) worst = INFINITY;
  }
  check(worst <= 1, what + ": an element is off by " + std::to_string(worst) + " of what rounding allows");
  check(c.run(true, 0) == y, what + ": gate and up in one matrix");
  check(c.run(false, 1) == y && c.run(false, 2) == y, what + ": in place");
}

}  // namespace

void check_gated(bool thorough) {
  Random random(12);
  for (const DType type : {DType::f16, DType::bf16})
    for (const Activation activation : {Activation::silu, Activation::gelu_tanh, Activation::gelu, Activation::relu})
      for (const int32_t width : {thorough ? 14336 : 264, 75}) {
        Gated c{type, activation, thorough ? 33 : 17, width, {}, {}};
        for (int32_t i = 0; i < c.rows * width; i++) {
          c.gate.push_back(stored_bits(random.uniform() * std::exp(4.5 * random.uniform()), type));
          c.up.push_back(stored_bits(4 * random.uniform(), type));
        }
        // Where e^−x leaves the floats, both ways.
        size_t place = 0;
        for (const double far : {-60000.0, -100.0, -90.0, 90.0, 100.0}) c.gate[place++] = stored_bits(far, type);
        const std::string name = type == DType::f16 ? "f16" : "bf16";
        check_one_gated(c, name + ", activation " + std::to_string(int(activation)) + ", " + std::to_string(width) + " wide");
      }
}

}  // namespace lorikeet::test
