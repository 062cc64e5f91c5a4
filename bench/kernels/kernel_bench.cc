// The kernels against their floors, on one thread: bytes at the bandwidth measured in the same run.
//   node native/build.mjs --target kernel-bench && build/native/kernel-bench
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <vector>
#include "harness.h"

namespace {
using namespace lorikeet;
using lorikeet::test::Random;

double median_ms(int rounds, const std::function<void()>& work) {
  std::vector<double> times;
  for (int i = 0; i < rounds; i++) {
    const auto start = std::chrono::steady_clock::now();
    work();
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return times[rounds / 2];
}

void report(const char* what, double ms, double floor_ms, const char* floor) {
  std::printf("| %-46s | %8.3f | %8.3f | %5.2f | %s |\n", what, ms, floor_ms, ms / floor_ms, floor);
}

// One layer set of a 135M Llama: hidden 576, 9 heads, 3 of K and V, feed-forward 1536.
constexpr int kRows = 32, kLayers = 30, kRank = 16, kHidden = 576, kFeed = 1536, kHeads = 9, kKvHeads = 3, kHead = 64, kBlock = 16;

// Bytes per millisecond that one thread reads from memory.
double bandwidth() {
  std::vector<float> big(size_t{64} << 20);
  std::iota(big.begin(), big.end(), 0.0f);
  volatile float sink = 0;
  const double ms = median_ms(7, [&] {
    float sums[64] = {};
    for (size_t i = 0; i < big.size(); i += 64)
      for (int k = 0; k < 64; k++) sums[k] += big[i + k];
    sink = sink + std::accumulate(sums, sums + 64, 0.0f);
  });
  return double(big.size()) * sizeof(float) / ms;
}

void lora(const Kernels& kernels, double bytes_per_ms, const char* name, int64_t in, std::vector<int64_t> outs) {
  Random random(1);
  int64_t width = kRank * in;
  for (int64_t out : outs) width += kRank * out;
  width += kRank * in * (static_cast<int64_t>(outs.size()) - 1);
  // Every layer's rows of every adapter, so that nothing is still in the cache when it is used again.
  const size_t elements = size_t(kRows) * kLayers * width;
  std::vector<uint16_t> pool(elements);
  for (auto& e : pool) e = lorikeet::test::to_half(0.1f * float(random.below(7)));
  std::vector<std::vector<const void*>> pointers;
  std::vector<SiteDelta> deltas(size_t(kRows) * kLayers * outs.size());
  size_t at = 0, next = 0;
  for (int i = 0; i < kRows * kLayers; i++)
    for (int64_t out : outs) {
      auto& rows = pointers.emplace_back();
      for (int j = 0; j < kRank; j++, at += in) rows.push_back(&pool[at]);
      for (int j = 0; j < kRank; j++, at += out) rows.push_back(&pool[at]);
      SiteDelta& d = deltas[next++];
      d.rank = kRank;
      d.a = rows.data();
      d.b = rows.data() + kRank;
    }
  const auto x = random.floats(kRows * in);
  std::vector<std::vector<float>> y;
  for (int64_t out : outs) y.push_back(random.floats(kRows * out));
  const double ms = median_ms(7, [&] {
    for (int layer = 0; layer < kLayers; layer++) {
      LoraEntry entries[kRows];
      LoraSegment segments[kRows];
      for (int r = 0; r < kRows; r++) {
        for (size_t p = 0; p < outs.size(); p++) entries[r].delta[p] = &deltas[(size_t(layer) * kRows + r) * outs.size() + p];
        segments[r] = {r, r + 1, &entries[r], 1};
      }
      LoraArgs args;
      args.x = x.data();
      args.in = in;
      args.products = static_cast<int32_t>(outs.size());
      for (size_t p = 0; p < outs.size(); p++) {
        args.y[p] = y[p].data();
        args.out[p] = outs[p];
      }
      args.segments = segments;
      args.segment_count = kRows;
      kernels.batched_lora(args, lorikeet::test::on_threads(1));
    }
  });
  report(name, ms, double(elements) * 2 / bytes_per_ms, "rank rows");
}

void attention(const Kernels& kernels, double bytes_per_ms, const char* name, int sequences, int context, int fresh) {
  Random random(2);
  const int blocks = (context + kBlock - 1) / kBlock;
  const size_t floats = size_t(sequences) * blocks * kBlock * kKvHeads * kHead;
  std::vector<std::vector<float>> keys, values;
  const int layers = fresh == 1 ? 8 : 2;
  for (int l = 0; l < layers; l++) {
    keys.push_back(random.floats(floats));
    values.push_back(random.floats(floats));
  }
  const int tokens = sequences * fresh;
  const auto q = random.floats(size_t(tokens) * kHeads * kHead), k = random.floats(size_t(tokens) * kKvHeads * kHead), v = k;
  std::vector<float> out(q.size()), cos(size_t(context) * kHead / 2, 0.6f), sin(cos.size(), 0.8f);
  std::vector<int32_t> cumulative{0}, past, table, slots;
  for (int s = 0; s < sequences; s++) {
    for (int b = 0; b < blocks; b++) table.push_back(b * sequences + s);
    past.push_back(context - fresh);
    for (int t = context - fresh; t < context; t++) slots.push_back(((t / kBlock) * sequences + s) * kBlock + t % kBlock);
    cumulative.push_back(static_cast<int32_t>(slots.size()));
  }
  AttentionArgs args;
  args.query = q.data();
  args.key = k.data();
  args.value = v.data();
  args.cumulative = cumulative.data();
  args.past = past.data();
  args.block_table = table.data();
  args.cos = cos.data();
  args.sin = sin.data();
  args.slots = slots.data();
  args.out = out.data();
  args.tokens = tokens;
  args.batch = sequences;
  args.max_blocks = blocks;
  args.rotary_dim = kHead;
  args.heads = kHeads;
  args.kv_heads = kKvHeads;
  args.head_size = kHead;
  args.block_size = kBlock;
  args.scale = 0.125f;
  const double ms = median_ms(9, [&] {
    for (int l = 0; l < layers; l++) {
      args.key_cache = keys[l].data();
      args.value_cache = values[l].data();
      kernels.paged_attention(args, lorikeet::test::on_threads(1));
    }
  });
  report(name, ms / layers, double(floats) * 8 / bytes_per_ms, "K and V once");
}

}  // namespace

int main() {
  const double bytes_per_ms = bandwidth();
  std::printf("one thread, %s, memory reads at %.1f GB/s\n\n| what | ms | floor ms | ratio | floor |\n|---|---|---|---|---|\n", kernels().name, bytes_per_ms / 1e6);
  lora(kernels(), bytes_per_ms, "LoRA, 32 rows, 32 adapters, q/k/v, 30 layers", kHidden, {kHidden, kKvHeads * kHead, kKvHeads * kHead});
  lora(kernels(), bytes_per_ms, "LoRA, 32 rows, 32 adapters, gate/up, 30 layers", kHidden, {kFeed, kFeed});
  lora(kernels(), bytes_per_ms, "LoRA, 32 rows, 32 adapters, down, 30 layers", kFeed, {kHidden});
  attention(kernels(), bytes_per_ms, "attention, 32 rows, context 128, one layer", 32, 128, 1);
  attention(kernels(), bytes_per_ms, "attention, 32 rows, context 1024, one layer", 32, 1024, 1);
  attention(kernels(), bytes_per_ms, "attention, a prompt of 512, one layer", 1, 512, 512);
}
