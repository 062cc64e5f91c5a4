#include "paged_attention.h"

namespace lorikeet {
namespace {
// Input positions, ORT's order.
enum : size_t {
  kQuery, kKey, kValue, kKeyCache, kValueCache, kCumulative, kPast, kBlockTable, kCos, kSin, kSlots, kHeadSink, kQNorm, kKNorm
};

void require(bool ok, const char* what) {
  if (!ok) throw std::invalid_argument(std::string("PagedAttention: ") + what);
}
}  // namespace

PagedAttention::PagedAttention(const StepContext& context, const OrtKernelInfo* info) : context_(context) {
  args_.heads = static_cast<int32_t>(attribute_int(info, "num_heads"));
  args_.kv_heads = static_cast<int32_t>(attribute_int(info, "kv_num_heads"));
  args_.head_size = static_cast<int32_t>(attribute_int(info, "head_size"));
  args_.scale = attribute_float(info, "scale");
  args_.softcap = attribute_float(info, "softcap");
  args_.norm_epsilon = attribute_float(info, "qk_norm_epsilon");
  args_.window = static_cast<int32_t>(attribute_int(info, "local_window_size"));
  args_.interleaved = attribute_int(info, "rotary_interleaved") != 0;
  require(args_.kv_heads > 0 && args_.heads % args_.kv_heads == 0, "num_heads must be a multiple of kv_num_heads");
}

void PagedAttention::compute(OrtKernelContext* kernel) {
  AttentionArgs args = args_;
  const Dims query = input_dims(kernel, kQuery), cache = input_dims(kernel, kKeyCache), table = input_dims(kernel, kBlockTable);
  args.tokens = query[0];
  args.batch = table[0];
  args.max_blocks = table[1];
  args.cache = context_.cache;
  args.block_size = context_.block_size;
  require(query[1] == int64_t{args.heads} * args.head_size, "query is not heads * head_size wide");
  require(args.cache != CacheType::f8, "there is no float8 cache on the CPU");
  require(cache[1] == cache_view_bytes(args.cache, args.block_size, args.kv_heads, args.head_size), "the cache's views are not as long as the op's heads");
  require(input_dims(kernel, kCumulative)[0] == args.batch + 1, "cumulative_sequence_length must have batch + 1 entries");
  args.query = input<float>(kernel, kQuery);
  args.key = input<float>(kernel, kKey);
  args.value = input<float>(kernel, kValue);
  // The op updates the cache in place, like ORT's own; the buffers are the pool's and ours to write.
  args.key_cache = const_cast<uint8_t*>(input<uint8_t>(kernel, kKeyCache));
  args.value_cache = const_cast<uint8_t*>(input<uint8_t>(kernel, kValueCache));
  args.cumulative = input<int32_t>(kernel, kCumulative);
  args.past = input<int32_t>(kernel, kPast);
  args.block_table = input<int32_t>(kernel, kBlockTable);
  args.cos = input<float>(kernel, kCos);
  args.sin = input<float>(kernel, kSin);
  if (args.cos) args.rotary_dim = 2 * input_dims(kernel, kCos)[1];
  args.slots = input<int32_t>(kernel, kSlots);
  const size_t count = input_count(kernel);
  require(count <= kHeadSink || !input<float>(kernel, kHeadSink), "head_sink is not supported on the CPU");
  if (count > kKNorm) {
    args.q_norm = input<float>(kernel, kQNorm);
    args.k_norm = input<float>(kernel, kKNorm);
  }
  args.out = output(kernel, 0, args.tokens, int64_t{args.heads} * args.head_size);
  kernels().paged_attention(args, parallel_of(kernel, context_.threads));
}

}  // namespace lorikeet
