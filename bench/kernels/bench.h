// What the kernels' benchmarks share: the machine's floors, measured in the same run, a pool of threads, and one table of results.
#pragma once
#include <sys/mman.h>
#include <functional>
#include <string>
#include "harness.h"

namespace lorikeet::bench {

// Threads that wait busily for work, like ONNX Runtime's between two ops of a step.
Parallel thread_pool(int threads);
// Its threads sleep until the next run: for turns of others' threads.
void rest(const Parallel& parallel);

struct Machine {
  int threads;
  double bytes_per_ms;  // read from memory by all threads
  double flops_per_ms;  // fused multiply-adds of the widest vectors the kernels use, two operations each, by all threads
};
Machine measure_machine(const Parallel& parallel);

// Zeros on huge pages, as the pool's.
struct Memory {
  size_t bytes;
  uint8_t* data;

  explicit Memory(size_t size) : bytes(size), data(static_cast<uint8_t*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
#ifdef MADV_HUGEPAGE
    madvise(data, size, MADV_HUGEPAGE);
#endif
    std::memset(data, 0, size);
  }
  Memory(const Memory&) = delete;
  ~Memory() { munmap(data, bytes); }
};

// The least of `rounds` runs, in milliseconds: what others on the machine cost is not the kernel's. With `threads` = 1, or LORIKEET_BENCH_CPU_TIME set, it is the caller's
// processor time, which stays the same on a machine that others use.
double least_ms(int rounds, const std::function<void()>& work, int threads = 2);

void report(const std::string& what, double ms, double floor_ms, const char* floor);

void bench_lora(const Machine& machine, const Parallel& parallel);
void bench_attention(const Machine& machine, const Parallel& parallel);
void bench_sampling(const Machine& machine, const Parallel& parallel);
void bench_slots(const Machine& machine);
void bench_product(const Machine& machine, const Parallel& parallel);
void bench_linear(const Machine& machine, const Parallel& parallel);

// SmolLM-135M's shape.
constexpr int kLayers = 30, kHidden = 576, kFeed = 1536, kHeads = 9, kKvHeads = 3, kHead = 64, kBlock = 16;

}  // namespace lorikeet::bench
