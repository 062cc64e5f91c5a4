// The kernels against their floors: bytes at the read bandwidth, and multiply-adds at the peak, that this run measured. A quiet machine, please.
//   node native/build.mjs --target kernel-bench && build/native/kernel-bench [threads] [lora|attention|sampling|slots|product|linear]
#include <cstdlib>
#include "bench.h"

int main(int argc, char** argv) {
  using namespace lorikeet;
  const int threads = argc > 1 ? std::atoi(argv[1]) : static_cast<int>(std::thread::hardware_concurrency());
  if (threads < 1) {
    std::fprintf(stderr, "usage: kernel-bench [threads] [lora|attention|sampling|slots|product|linear]\n");
    return 2;
  }
  const std::string only = argc > 2 ? argv[2] : "";
  const Parallel parallel = bench::thread_pool(threads);
  const auto machine = bench::measure_machine(parallel);
  std::printf("%s, %d threads, memory reads at %.1f GB/s, %.0f GFLOP/s\n\n| what | ms | floor ms | ratio | floor |\n|---|---|---|---|---|\n", kernels().name, threads,
              machine.bytes_per_ms / 1e6, machine.flops_per_ms / 1e6);
  if (only.empty() || only == "lora") bench::bench_lora(machine, parallel);
  if (only.empty() || only == "attention") bench::bench_attention(machine, parallel);
  if (only.empty() || only == "sampling") bench::bench_sampling(machine, parallel);
  if (only.empty() || only == "slots") bench::bench_slots(machine);
  if (only.empty() || only == "product") bench::bench_product(machine, parallel);
  if (only.empty() || only == "linear") bench::bench_linear(machine, parallel);
}
