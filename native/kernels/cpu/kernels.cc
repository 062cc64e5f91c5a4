// Chooses the kernels once, and owns the threads' scratch memory. Compiled for the baseline: nothing here may need a newer processor.
#include "../kernels.h"
#include <cstdlib>
#include <cstring>
#include <new>
#include "scratch_memory.h"

namespace lorikeet {

const Kernels* kernels_of_portable();
#if defined(__x86_64__)
void attention_of_avx512bf16(const AttentionArgs&, const Parallel&);
const Kernels* kernels_of_avx512();
const Kernels* kernels_of_avx2();

const Kernels* kernels_avx512() {
  const bool here = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512dq");
  return here ? kernels_of_avx512() : nullptr;
}
const Kernels* kernels_avx512bf16() {
  if (!kernels_avx512() || !__builtin_cpu_supports("avx512bf16")) return nullptr;
  static const Kernels table = [] {
    Kernels all = *kernels_of_avx512();
    all.name = "avx512bf16";
    all.paged_attention = attention_of_avx512bf16;
    return all;
  }();
  return &table;
}
const Kernels* kernels_avx2() {
  const bool here = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  return here ? kernels_of_avx2() : nullptr;
}
const Kernels* kernels_neon() { return nullptr; }
#else
const Kernels* kernels_avx512bf16() { return nullptr; }
const Kernels* kernels_avx512() { return nullptr; }
const Kernels* kernels_avx2() { return nullptr; }
#if defined(__aarch64__)
const Kernels* kernels_of_neon();
const Kernels* kernels_neon() { return kernels_of_neon(); }  // a part of every aarch64 processor
#else
const Kernels* kernels_neon() { return nullptr; }
#endif
#endif
const Kernels* kernels_portable() { return kernels_of_portable(); }

const Kernels& kernels() {
  static const Kernels* chosen = [] {
    const char* wanted = std::getenv("LORIKEET_SIMD");
    const bool portable = wanted && std::strcmp(wanted, "portable") == 0;
    const bool avx2 = wanted && (std::strcmp(wanted, "avx2") == 0 || std::strcmp(wanted, "avxvnni") == 0);  // the latter is a name of linear.h's
    const bool plain = wanted && (std::strcmp(wanted, "avx512") == 0 || std::strcmp(wanted, "avx512vnni") == 0);
    if (!portable && !avx2 && !plain && kernels_avx512bf16()) return kernels_avx512bf16();
    if (!portable && !avx2 && kernels_avx512()) return kernels_avx512();
    if (!portable && kernels_avx2()) return kernels_avx2();
    if (!portable && kernels_neon()) return kernels_neon();
    return kernels_portable();
  }();
  return *chosen;
}

namespace {
struct Buffer {
  void* data = nullptr;
  size_t bytes = 0;
  ~Buffer() { std::free(data); }
};
thread_local Buffer buffers[static_cast<int>(Scratch::kinds)];
}  // namespace

void* scratch_bytes(Scratch kind, size_t bytes) {
  Buffer& buffer = buffers[static_cast<int>(kind)];
  if (buffer.bytes < bytes || !buffer.data) {
    std::free(buffer.data);
    buffer.bytes = (bytes + bytes / 2 + 4095) / 4096 * 4096 + 4096;
    buffer.data = std::aligned_alloc(64, buffer.bytes);
    if (!buffer.data) {
      buffer.bytes = 0;
      throw std::bad_alloc();
    }
  }
  return buffer.data;
}

}  // namespace lorikeet
