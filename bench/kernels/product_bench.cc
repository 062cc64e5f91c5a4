#include "bench.h"

namespace lorikeet::bench {
namespace {

void run(int64_t m, int64_t k, int64_t n, const Machine& machine, const Parallel& parallel) {
  lorikeet::test::Random random(5);
  const auto left = random.floats(size_t(m * k)), right = random.floats(size_t(k * n));
  std::vector<float> out(size_t(m * n)), packed(size_t(packed_left_floats(m, k)) + 16);
  ProductArgs args;
  args.left = {reinterpret_cast<const uint8_t*>(left.data()), DType::f32, m, k, k, 1};
  args.right = {reinterpret_cast<const uint8_t*>(right.data()), DType::f32, k, n, n, 1};
  args.out = out.data();
  args.packed = packed.data() + (64 - reinterpret_cast<uintptr_t>(packed.data()) % 64) % 64 / 4;
  const double ms = least_ms(9, [&] { kernels().add_product(args, parallel); });
  const std::string what = "product [" + std::to_string(m) + ", " + std::to_string(k) + "] [" + std::to_string(k) + ", " + std::to_string(n) + "]";
  report(what, ms, 2.0 * double(m) * double(k) * double(n) / machine.flops_per_ms, "arithmetic");
}

}  // namespace

// A block of rows of RandLoRA's product at 4096 × 14336, the same at 4096², and one of HiRA's at rank 16.
void bench_product(const Machine& machine, const Parallel& parallel) {
  run(1024, 4096, 14336, machine, parallel);
  run(1024, 4096, 4096, machine, parallel);
  run(1024, 16, 14336, machine, parallel);
}

}  // namespace lorikeet::bench
