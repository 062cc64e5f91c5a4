// Decode: 32 rows, each with its own rank-16 adapter on all seven projections. Prefill: many rows of few adapters.
#include <memory>
#include <span>
#include "bench.h"

namespace lorikeet::bench {
namespace {
using lorikeet::test::Random;

// A group of projections that share their input: one op of the graph.
struct Group {
  int64_t in;
  std::vector<int64_t> outs;
};
const std::vector<Group> kGroups{{kHidden, {kHidden, kKvHeads * kHead, kKvHeads * kHead}}, {kHidden, {kHidden}}, {kHidden, {kFeed, kFeed}}, {kFeed, {kHidden}}};

// An adapter's rows one after the other, layer by layer, as an image lies in the pool.
struct Adapter {
  std::unique_ptr<Memory> memory;
  std::span<uint16_t> image;
  std::vector<const void*> rows;
  std::vector<SiteDelta> deltas;  // [layer][group][product]

  Adapter(Random& random, int rank, int layers) {
    size_t elements = 0, count = 0;
    for (const Group& g : kGroups)
      for (int64_t out : g.outs) elements += size_t(rank) * (g.in + out), count += 2 * size_t(rank);
    memory = std::make_unique<Memory>(elements * layers * 2);
    image = {reinterpret_cast<uint16_t*>(memory->data), elements * layers};
    rows.reserve(count * layers);
    for (auto& e : image) e = lorikeet::test::to_half(random.uniform() * 0.1f);
    const uint16_t* at = image.data();
    for (int layer = 0; layer < layers; layer++)
      for (const Group& g : kGroups)
        for (int64_t out : g.outs) {
          SiteDelta& d = deltas.emplace_back();
          d.rank = rank;
          d.a = rows.data() + rows.size();
          for (int j = 0; j < rank; j++, at += g.in) rows.push_back(at);
          d.b = rows.data() + rows.size();
          for (int j = 0; j < rank; j++, at += out) rows.push_back(at);
        }
  }
};

// All groups of all layers once, `rows` rows dealt evenly to the adapters.
void step(const std::vector<std::unique_ptr<Adapter>>& adapters, int layers, int rows, const std::vector<float>& x, std::vector<std::vector<float>>& y,
          const Parallel& parallel) {
  const auto count = static_cast<int>(adapters.size());
  std::vector<LoraEntry> entries(count);
  std::vector<LoraSegment> segments(count);
  size_t site = 0;
  for (int layer = 0; layer < layers; layer++)
    for (const Group& g : kGroups) {
      LoraArgs args;
      args.x = x.data();
      args.in = g.in;
      args.products = static_cast<int32_t>(g.outs.size());
      for (size_t p = 0; p < g.outs.size(); p++) {
        args.y[p] = y[p].data();
        args.out[p] = g.outs[p];
      }
      for (int i = 0; i < count; i++) {
        for (size_t p = 0; p < g.outs.size(); p++) entries[i].delta[p] = &adapters[i]->deltas[site + p];
        segments[i] = {int64_t{rows} * i / count, int64_t{rows} * (i + 1) / count, &entries[i], 1};
      }
      site += g.outs.size();
      args.segments = segments.data();
      args.segment_count = count;
      kernels().batched_lora(args, parallel);
    }
}

void run(const char* what, int rank, int adapter_count, int layers, int rows, const Machine& machine, const Parallel& parallel) {
  Random random(1);
  std::vector<std::unique_ptr<Adapter>> adapters;
  for (int i = 0; i < adapter_count; i++) adapters.push_back(std::make_unique<Adapter>(random, rank, layers));
  const auto x = random.floats(size_t(rows) * kFeed);
  std::vector<std::vector<float>> y(kMaxProducts, std::vector<float>(size_t(rows) * kFeed));
  const double ms = least_ms(7, [&] { step(adapters, layers, rows, x, y, parallel); });
  double activations = 0;  // x read, y read and written
  for (const Group& g : kGroups) {
    activations += double(g.in);
    for (int64_t out : g.outs) activations += 2 * double(out);
  }
  const double elements = double(adapters[0]->image.size());
  // A few rows' activations stay in the cache from layer to layer.
  const double bytes_ms = (elements * 2 * adapter_count + (rows > 64 ? activations * rows * layers * 4 : 0)) / machine.bytes_per_ms;
  const double flops_ms = 2 * elements * rows / machine.flops_per_ms;
  report(what, ms, std::max(bytes_ms, flops_ms), bytes_ms > flops_ms ? "bytes" : "multiply-adds");
}

// An adapter of output scales alone (IA3): no rank, and a product's rows read and written once.
void run_scales(const char* what, int64_t rows, int64_t out, const Machine& machine, const Parallel& parallel) {
  Random random(2);
  const auto scale = random.floats(out);
  auto y = random.floats(rows * out);
  SiteDelta delta;
  delta.out_scale = scale.data();
  LoraEntry entry;
  entry.weight = 0;  // the same arithmetic, and y stays finite over the runs
  entry.delta[0] = &delta;
  const LoraSegment segment{0, rows, &entry, 1};
  LoraArgs args;
  args.in = kHidden;
  args.products = 1;
  args.y[0] = y.data();
  args.out[0] = out;
  args.segments = &segment;
  args.segment_count = 1;
  const double ms = least_ms(7, [&] { kernels().batched_lora(args, parallel); });
  report(what, ms, double(rows) * out * 2 * sizeof(float) / machine.bytes_per_ms, "bytes");
}

}  // namespace

void bench_lora(const Machine& machine, const Parallel& parallel) {
  run("LoRA, 32 rows, 32 adapters of rank 16, 30 layers", 16, 32, kLayers, 32, machine, parallel);
  run("LoRA, 32 rows, 32 adapters of rank 64, 8 layers", 64, 32, 8, 32, machine, parallel);
  run("LoRA, one row, rank 16, 30 layers", 16, 1, kLayers, 1, machine, parallel);
  run("LoRA, 512 rows, one adapter of rank 16, one layer", 16, 1, 1, 512, machine, parallel);
  run("LoRA, 512 rows, 4 adapters of rank 64, one layer", 64, 4, 1, 512, machine, parallel);
  run("LoRA, 256 rows, one adapter of rank 1024, one layer", 1024, 1, 1, 256, machine, parallel);
  run_scales("IA3, 256 rows, 14336 outputs", 256, 14336, machine, parallel);
}

}  // namespace lorikeet::bench
