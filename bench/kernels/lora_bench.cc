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
  std::span<uint8_t> image;
  std::vector<const void*> rows;
  std::vector<float> scales;      // of int8 rows, the same for every site
  std::vector<SiteDelta> deltas;  // [layer][group][product]

  Adapter(Random& random, DType type, int rank, int layers) : scales(static_cast<size_t>(rank), 1e-4f) {
    size_t elements = 0, count = 0;
    for (const Group& g : kGroups)
      for (int64_t out : g.outs) elements += size_t(rank) * (g.in + out), count += 2 * size_t(rank);
    const size_t size = element_size(type);
    memory = std::make_unique<Memory>(elements * layers * size);
    image = {reinterpret_cast<uint8_t*>(memory->data), elements * layers * size};
    rows.reserve(count * layers);
    if (type == DType::i8)
      for (auto& e : image) e = static_cast<uint8_t>(random.below(255) - 127);
    else
      for (size_t i = 0; i < image.size(); i += 2) {
        const uint16_t e = lorikeet::test::to_half(random.uniform() * 0.1f);
        std::memcpy(&image[i], &e, 2);
      }
    const uint8_t* at = image.data();
    for (int layer = 0; layer < layers; layer++)
      for (const Group& g : kGroups)
        for (int64_t out : g.outs) {
          SiteDelta& d = deltas.emplace_back();
          d.rank = rank;
          d.scales = scales.data();
          d.a = rows.data() + rows.size();
          for (int j = 0; j < rank; j++, at += size * g.in) rows.push_back(at);
          d.b = rows.data() + rows.size();
          for (int j = 0; j < rank; j++, at += size * out) rows.push_back(at);
        }
  }
};

// All groups of all layers once, `rows` rows dealt evenly to the adapters.
void step(const std::vector<std::unique_ptr<Adapter>>& adapters, DType type, int layers, int rows, const std::vector<float>& x, std::vector<std::vector<float>>& y,
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
      args.dtype = type;
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

// float16 and int8 by turns, so that what others on the machine cost falls on both.
void run(const std::string& what, int rank, int adapter_count, int layers, int rows, const Machine& machine, const Parallel& parallel) {
  struct Side {
    DType type;
    std::vector<std::unique_ptr<Adapter>> adapters;
    double ms = 1e300;
  };
  Random random(1);
  std::vector<Side> sides;
  for (DType type : {DType::f16, DType::i8}) {
    Side& side = sides.emplace_back(type);
    for (int i = 0; i < adapter_count; i++) side.adapters.push_back(std::make_unique<Adapter>(random, type, rank, layers));
  }
  const auto x = random.floats(size_t(rows) * kFeed);
  std::vector<std::vector<float>> y(kMaxProducts, std::vector<float>(size_t(rows) * kFeed));
  for (int round = 0; round < 7; round++)
    for (Side& side : sides) side.ms = std::min(side.ms, least_ms(1, [&] { step(side.adapters, side.type, layers, rows, x, y, parallel); }));
  double activations = 0;  // x read, y read and written
  for (const Group& g : kGroups) {
    activations += double(g.in);
    for (int64_t out : g.outs) activations += 2 * double(out);
  }
  for (const Side& side : sides) {
    const double bytes = double(side.adapters[0]->image.size()), elements = bytes / double(element_size(side.type));
    // A few rows' activations stay in the cache from layer to layer.
    const double bytes_ms = (bytes * adapter_count + (rows > 64 ? activations * rows * layers * 4 : 0)) / machine.bytes_per_ms;
    const double flops_ms = 2 * elements * rows / machine.flops_per_ms;
    report(what + (side.type == DType::i8 ? ", int8" : ""), side.ms, std::max(bytes_ms, flops_ms), bytes_ms > flops_ms ? "bytes" : "multiply-adds");
  }
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
