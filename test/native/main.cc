// Runs every kernel test on every instruction set that this machine has (or on LORIKEET_SIMD's alone); with --list, says which those are. Exit status 1 when a check fails.
#include <cstdlib>
#include "harness.h"
#include "kernels/linear.h"

namespace lorikeet::test {

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

static long passed = 0, failed = 0;

void check(bool ok, const std::string& what) {
  if (ok) {
    passed++;
    return;
  }
  if (failed++ < 20) std::printf("  not ok: %s\n", what.c_str());
}

StoredRow store_row(const std::vector<float>& from, DType type) {
  StoredRow row;
  row.bytes.resize(from.size() * element_size(type));
  if (type == DType::i8) {
    float most = 0;
    for (float x : from) most = std::max(most, std::abs(x));
    row.scale = most > 0 ? most / 127 : 1;
    for (size_t i = 0; i < from.size(); i++) {
      const auto stored = static_cast<int8_t>(std::nearbyint(from[i] / row.scale));
      row.bytes[i] = static_cast<uint8_t>(stored);
      row.values.push_back(double(row.scale) * stored);
    }
    return row;
  }
  for (size_t i = 0; i < from.size(); i++) {
    if (type == DType::f32) {
      std::memcpy(&row.bytes[4 * i], &from[i], 4);
      row.values.push_back(from[i]);
      continue;
    }
    const uint16_t stored = type == DType::f16 ? to_half(from[i]) : to_bfloat(from[i]);
    std::memcpy(&row.bytes[2 * i], &stored, 2);
    row.values.push_back(type == DType::f16 ? from_half(stored) : from_bfloat(stored));
  }
  return row;
}

}  // namespace lorikeet::test

int main(int argc, char** argv) {
  using namespace lorikeet;
  const bool chosen = std::getenv("LORIKEET_SIMD") != nullptr;
  std::printf("instruction sets:");
  for (const char* name : kLinearNames)
    if (linear_kernels_named(name)) std::printf(" %s", name);
  std::printf("; chosen: %s, %s\n", lorikeet::kernels().name, linear_kernels().name);
  if (argc > 1 && std::string(argv[1]) == "--list") return 0;
  for (const Kernels* kernels : {kernels_avx512bf16(), kernels_avx512(), kernels_avx2(), kernels_neon(), kernels_portable()}) {
    if (!kernels || (chosen && kernels->name != lorikeet::kernels().name)) continue;
    for (const auto& one : test::cases()) {
      const long before = test::failed;
      one.run(*kernels);
      std::printf("%s %s: %s\n", test::failed == before ? "ok    " : "FAIL  ", kernels->name, one.name);
    }
  }
  std::printf("%ld passed, %ld failed\n", test::passed, test::failed);
  return test::failed != 0;
}
