// The CUDA kernels' checks. With nvcc on a machine with a GPU: against float64, and times against the bytes floor. Without nvcc: the same checks
// under the emulator, in three orders of threads. Exit code 0: everything passed.
#include <cstdio>
#include <string>
#include "gated_check.h"
#include "lora_check.h"
#include "row_sums_check.h"
#include "sampling_check.h"
#include "step_inputs_check.h"
#ifndef __CUDACC__
#include "emulated_check.h"
#include "emulator.h"
#include "emulator_check.h"
#include "graph_table_check.h"
#include "slots_check.h"
#endif

namespace lorikeet::test {

static int checks = 0, failures = 0;
void check(bool ok, const std::string& what) {
  checks++;
  if (ok) return;
  if (++failures <= 20) std::printf("FAILED %s\n", what.c_str());
}

}  // namespace lorikeet::test

// --quick: the emulator's small shapes on the GPU, for compute-sanitizer.
int main(int argc, char** argv) {
  [[maybe_unused]] const bool quick = argc > 1 && std::string(argv[1]) == "--quick";
#ifdef __CUDACC__
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("no GPU here: nothing was run\n");
    return 3;
  }
  lorikeet::test::check_lora(!quick);
  lorikeet::test::check_sampling(!quick);
  lorikeet::test::check_gated(!quick);
  lorikeet::test::check_row_sums(!quick);
  lorikeet::test::check_step_inputs();
#else
  lorikeet::test::check_graph_table();
  lorikeet::test::check_slots();
  lorikeet::test::check_emulator();
  lorikeet::test::check_emulated_device();
  lorikeet::test::check_emulated_attention();
  lorikeet::test::check_emulated_gemm();
  for (const uint32_t order : {0u, 1u, 7u}) {
    lorikeet::cuda::emulated_order = order;
    lorikeet::test::check_lora(false);
    lorikeet::test::check_sampling(false);
    lorikeet::test::check_gated(false);
    lorikeet::test::check_row_sums(false);
    lorikeet::test::check_step_inputs();
  }
#endif
  std::printf("cuda: %d passed, %d failed\n", lorikeet::test::checks - lorikeet::test::failures, lorikeet::test::failures);
  return lorikeet::test::failures ? 1 : 0;
}
