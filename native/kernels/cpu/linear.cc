// Chooses the products of packed weights once. Compiled for the baseline: nothing here may need a newer processor.
#include "../linear.h"
#include <cstdlib>
#include <cstring>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace lorikeet {

const LinearKernels* linear_of_portable();
#if defined(__x86_64__)
const LinearKernels* linear_of_avx512bf16();
const LinearKernels* linear_of_avx512vnni();
const LinearKernels* linear_of_avx512();
const LinearKernels* linear_of_avxvnni();
const LinearKernels* linear_of_avx2();

namespace {
// What GCC 12 cannot ask __builtin_cpu_supports: AVX-VNNI, bit 4 of EAX of leaf 7, subleaf 1.
bool has_avx_vnni() {
  uint32_t a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
}  // namespace

const LinearKernels* linear_kernels_named(const char* name) {
  const auto is = [&](const char* other) { return std::strcmp(name, other) == 0; };
  const bool wide = kernels_avx512(), vnni = wide && __builtin_cpu_supports("avx512vnni");
  if (is("avx512bf16") && vnni && __builtin_cpu_supports("avx512bf16")) return linear_of_avx512bf16();
  if (is("avx512vnni") && vnni) return linear_of_avx512vnni();
  if (is("avx512") && wide) return linear_of_avx512();
  if (is("avxvnni") && kernels_avx2() && has_avx_vnni()) return linear_of_avxvnni();
  if (is("avx2") && kernels_avx2()) return linear_of_avx2();
  return is("portable") ? linear_of_portable() : nullptr;
}
#elif defined(__aarch64__)
const LinearKernels* linear_of_neonbf16();
const LinearKernels* linear_of_neondot();
const LinearKernels* linear_of_neon();

namespace {
struct Neon {
  bool dot = false, matrix = false;  // products of bytes; matrices of bytes and of bfloat16
};
Neon neon_of_machine() {
#if defined(__linux__)
  const bool dot = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
  const auto more = getauxval(AT_HWCAP2);
  return {dot, dot && (more & HWCAP2_I8MM) && (more & HWCAP2_BF16)};
#else
  return {};  // what every aarch64 processor has
#endif
}
}  // namespace

const LinearKernels* linear_kernels_named(const char* name) {
  const auto is = [&](const char* other) { return std::strcmp(name, other) == 0; };
  const Neon neon = neon_of_machine();
  if (is("neonbf16") && neon.matrix) return linear_of_neonbf16();
  if (is("neondot") && neon.dot) return linear_of_neondot();
  if (is("neon")) return linear_of_neon();
  return is("portable") ? linear_of_portable() : nullptr;
}
#else
const LinearKernels* linear_kernels_named(const char* name) { return std::strcmp(name, "portable") == 0 ? linear_of_portable() : nullptr; }
#endif

const LinearKernels& linear_kernels() {
  static const LinearKernels* chosen = [] {
    if (const char* wanted = std::getenv("LORIKEET_SIMD"))
      if (const auto* named = linear_kernels_named(wanted)) return named;
    for (const char* name : kLinearNames)
      if (const auto* here = linear_kernels_named(name)) return here;
    return linear_of_portable();
  }();
  return *chosen;
}

uint32_t linear_layout() { return linear_kernels().layout; }
void linear(const LinearArgs& args, const Parallel& parallel) { linear_kernels().linear(args, parallel); }

}  // namespace lorikeet
