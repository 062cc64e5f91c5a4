// Which work of adapters is worth the threads: what has no rank is counted by the outputs that it touches.
#include "harness.h"

namespace lorikeet::test {

KERNEL_TEST(deltas_without_rank_run_on_all_threads) {
  constexpr int64_t kOut = 14336;
  Random random(11);
  const std::vector<float> scale = random.floats(kOut), bias = random.floats(kOut);
  for (const bool scaled : {true, false})
    for (const int64_t rows : {1, 256}) {
      SiteDelta d;
      (scaled ? d.out_scale : d.bias) = scaled ? scale.data() : bias.data();
      LoraEntry entry;
      entry.delta[0] = &d;
      const LoraSegment segment{0, rows, &entry, 1};
      const std::vector<float> before = random.floats(rows * kOut);
      std::vector<float> y = before;
      LoraArgs args;
      args.in = 4096;
      args.products = 1;
      args.y[0] = y.data();
      args.out[0] = kOut;
      args.segments = &segment;
      args.segment_count = 1;
      // Notes how many tasks were to be shared.
      size_t shared = 0;
      Parallel noting;
      noting.threads = 2;
      noting.context = &shared;
      noting.run = [](void* context, void (*task)(void*, size_t), size_t count, void* data) {
        *static_cast<size_t*>(context) += count;
        for (size_t i = 0; i < count; i++) task(data, i);
      };
      kernels.batched_lora(args, noting);
      check(rows == 1 ? shared == 0 : shared >= 2 && shared <= 256 / 16, std::to_string(rows) + " rows are " + std::to_string(shared) + " tasks for the threads");
      double worst = 0;
      for (int64_t i = 0; i < rows * kOut; i++)
        worst = std::max<double>(worst, std::abs(y[i] - (scaled ? before[i] * scale[i % kOut] : before[i] + bias[i % kOut])));
      check_near(worst, 0, 1e-6, scaled ? "scaled outputs" : "biased outputs");
    }
}

}  // namespace lorikeet::test
