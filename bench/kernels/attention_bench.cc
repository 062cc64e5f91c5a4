#include "bench.h"

namespace lorikeet::bench {
namespace {
using lorikeet::test::Random;

// `sequences` of `context` tokens, the last `fresh` of them new in this step.
void run(const std::string& what, CacheType cache, int sequences, int context, int fresh, float softcap, const Machine& machine, const Parallel& parallel) {
  Random random(2);
  const int blocks = (context + kBlock - 1) / kBlock, tokens = sequences * fresh;
  const size_t bytes = size_t(sequences) * blocks * cache_view_bytes(cache, kBlock, kKvHeads, kHead);
  // Layers enough that a layer's cache is no longer in the processor's when its turn comes again.
  const int layers = fresh > 1 ? 1 : static_cast<int>(std::min<size_t>(kLayers, (size_t{400} << 20) / (bytes * 2) + 1));
  const Memory caches(2 * bytes * layers);
  const auto q = random.floats(size_t(tokens) * kHeads * kHead), k = random.floats(size_t(tokens) * kKvHeads * kHead);
  std::vector<float> out(q.size()), cos(size_t(context) * kHead / 2, 0.6f), sin(cos.size(), 0.8f);
  std::vector<int32_t> cumulative{0}, past, table, slots;
  for (int s = 0; s < sequences; s++) {
    for (int b = 0; b < blocks; b++) table.push_back(b * sequences + s);  // blocks of all sequences in turn, as they grow
    past.push_back(context - fresh);
    for (int t = context - fresh; t < context; t++) slots.push_back(((t / kBlock) * sequences + s) * kBlock + t % kBlock);
    cumulative.push_back(static_cast<int32_t>(slots.size()));
  }
  AttentionArgs args;
  args.query = q.data();
  args.key = args.value = k.data();
  args.cache = cache;
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
  args.softcap = softcap;
  const double ms = least_ms(9, [&] {
    for (int l = 0; l < layers; l++) {
      args.key_cache = caches.data + 2 * l * bytes;
      args.value_cache = args.key_cache + bytes;
      kernels().paged_attention(args, parallel);
    }
  });
  const double seen = double(fresh) * (context - fresh) + 0.5 * double(fresh) * (fresh + 1);  // (query, key) pairs of a sequence
  const double bytes_ms = double(bytes) * 2 / machine.bytes_per_ms, flops_ms = 4 * seen * sequences * kHeads * kHead / machine.flops_per_ms;
  report(what, ms / layers, std::max(bytes_ms, flops_ms), bytes_ms > flops_ms ? "K and V once" : "multiply-adds");
}

}  // namespace

void bench_attention(const Machine& machine, const Parallel& parallel) {
  struct {
    CacheType type;
    const char* name;
  } const caches[] = {{CacheType::f32, ""}, {CacheType::f16, ", float16"}, {CacheType::bf16, ", bfloat16"}, {CacheType::i8, ", int8"}};
  for (const auto& [type, name] : caches) {
    run(std::string("attention, 32 rows, context 128, a layer") + name, type, 32, 128, 1, 0, machine, parallel);
    run(std::string("attention, 32 rows, context 1024, a layer") + name, type, 32, 1024, 1, 0, machine, parallel);
    run(std::string("attention, 32 rows, context 1024, soft cap") + name, type, 32, 1024, 1, 50, machine, parallel);
    run(std::string("attention, one row, context 16384, a layer") + name, type, 1, 16384, 1, 0, machine, parallel);
    run(std::string("attention, a prompt of 512, a layer") + name, type, 1, 512, 512, 0, machine, parallel);
    run(std::string("attention, 256 tokens after 4096, a layer") + name, type, 1, 4352, 256, 0, machine, parallel);
  }
}

}  // namespace lorikeet::bench
