// Kernels that ONNX Runtime's CPU provider lacks, registered under the operators' own names: ONNX Runtime looks among registered domains first, whatever they
// are called, so that the CPU provider runs the very bytes of the graph that a GPU would get. PagedAttention has a kernel for CUDA alone; Gemm in float16 has
// one that is a hundred times slower than this.
#include <cmath>
#include "../../../native/ops/custom_op.h"
#include "frozen.h"
#include "gemm.h"
#include "ort_ops.h"
#include "paged_attention.h"

namespace lorikeet::cuda {
namespace {

using Element = ONNXTensorElementDataType;
using emulated::CacheElement, emulated::Float;

// Input positions, ORT's order.
enum : size_t {
  kQuery, kKey, kValue, kKeyCache, kValueCache, kCumulative, kPast, kBlockTable, kCos, kSin, kSlots, kHeadSink, kQNorm, kKNorm, kKScale, kVScale, kBounds, kInputs
};

struct NoContext {};

void require(bool ok, const char* what) {
  if (!ok) throw std::invalid_argument(std::string("PagedAttention: ") + what);
}

std::string attribute_string(const OrtKernelInfo* info, const char* name, const char* without) {
  char text[64];
  size_t size = sizeof text;
  OrtStatus* status = ort().KernelInfoGetAttribute_string(info, name, text, &size);
  if (!status) return text;
  ort().ReleaseStatus(status);
  return without;
}

class AttentionCompute {
 public:
  AttentionCompute(const OrtKernelInfo* info, Float type, CacheElement cache) {
    args_.type = type;
    args_.cache_type = cache;
    args_.heads = attribute_int(info, "num_heads");
    args_.kv_heads = attribute_int(info, "kv_num_heads");
    args_.scale = attribute_float(info, "scale");
    args_.softcap = attribute_float(info, "softcap");
    args_.window = attribute_int(info, "local_window_size");
    args_.interleaved = attribute_int(info, "rotary_interleaved") != 0;
    args_.norm_epsilon = attribute_float(info, "qk_norm_epsilon");
    rotates_ = attribute_int(info, "do_rotary") != 0;
    const char* wanted = cache == CacheElement::same ? "NONE" : "PER_TENSOR";
    for (const char* name : {"k_quant_type", "v_quant_type"})
      require(attribute_string(info, name, "NONE") == wanted, "k_quant_type and v_quant_type must be NONE, with an 8-bit cache PER_TENSOR");
  }

  void compute(OrtKernelContext* kernel) const {
    emulated::PagedAttentionArgs args = args_;
    auto optional = [&](size_t i) { return input_count(kernel) > i && input<void>(kernel, i); };
    const Dims query = input_dims(kernel, kQuery), cache = input_dims(kernel, kKeyCache), values = input_dims(kernel, kValueCache);
    const Dims table = input_dims(kernel, kBlockTable);
    args.tokens = query[0];
    args.batch = table[0];
    args.max_blocks = table[1];
    args.blocks = cache[0];
    args.block_size = cache[1];
    args.head_size = cache[3];
    require(cache[2] == args.kv_heads, "key_cache must have kv_num_heads");
    for (int i = 0; i < 4; i++) require(cache[i] == values[i], "key_cache and value_cache must have one shape");
    const int64_t packed = optional(kKey) ? 0 : 2 * args.kv_heads;
    require(query[1] == (args.heads + packed) * args.head_size, "query must be num_heads * head_size wide, packed with key and value where those are absent");
    for (const size_t i : {kKey, kValue})
      if (!packed) require(input_dims(kernel, i)[0] == args.tokens && input_dims(kernel, i)[1] == args.kv_heads * args.head_size,
                           "key and value must have query's rows and be kv_num_heads * head_size wide");
    require(input_dims(kernel, kCumulative)[0] == args.batch + 1, "cumulative_sequence_length must be shape (batch_size + 1)");
    require(input_dims(kernel, kPast)[0] == args.batch, "past_seqlens must be shape (batch_size)");
    // Without them ONNX Runtime takes defaults that the engine does not want: it would wait for the device at every layer.
    require(optional(kSlots) && input_dims(kernel, kSlots)[0] == args.tokens, "slot_mapping must be given, of shape (token_count)");
    require(optional(kBounds) && input_dims(kernel, kBounds)[0] == 2, "attention_metadata must be given, of shape (2)");
    require(!optional(kHeadSink), "head_sink is not emulated");
    args.query = input<uint16_t>(kernel, kQuery);
    args.key = packed ? nullptr : input<uint16_t>(kernel, kKey);
    args.value = packed ? nullptr : input<uint16_t>(kernel, kValue);
    args.key_cache = const_cast<void*>(input<void>(kernel, kKeyCache));
    args.value_cache = const_cast<void*>(input<void>(kernel, kValueCache));
    args.cumulative = input<int32_t>(kernel, kCumulative);
    args.past = input<int32_t>(kernel, kPast);
    args.block_table = input<int32_t>(kernel, kBlockTable);
    args.slots = input<int32_t>(kernel, kSlots);
    args.bounds = input<int32_t>(kernel, kBounds);
    if (rotates_) {
      require(optional(kCos) && optional(kSin), "cos_cache and sin_cache must be passed when do_rotary = 1");
      const Dims cos = input_dims(kernel, kCos);
      require(cos[0] == input_dims(kernel, kSin)[0] && cos[1] == input_dims(kernel, kSin)[1], "cos_cache and sin_cache must have one shape");
      args.cos = input<uint16_t>(kernel, kCos);
      args.sin = input<uint16_t>(kernel, kSin);
      args.positions = cos[0];
      args.rotary = 2 * cos[1];
    }
    if (optional(kQNorm)) args.q_norm = input<uint16_t>(kernel, kQNorm);
    if (optional(kKNorm)) args.k_norm = input<uint16_t>(kernel, kKNorm);
    if (args.cache_type != CacheElement::same) {
      require(optional(kKScale) && optional(kVScale), "k_scale and v_scale must be given with an 8-bit cache");
      args.k_scale = *input<float>(kernel, kKScale);
      args.v_scale = *input<float>(kernel, kVScale);
    }
    // What the kernel's launch would freeze: its bounds, its sizes and the caches' places.
    using device::emulated::frozen_value;
    frozen_value("attention_metadata", std::pair(args.bounds[0], args.bounds[1]));
    for (const int64_t size : {args.tokens, args.batch, args.max_blocks, args.blocks}) frozen_value("a size of PagedAttention", size);
    for (const void* at : {args.key_cache, args.value_cache}) frozen_value("a cache of PagedAttention", at);
    for (const int32_t* at : {args.cumulative, args.past, args.block_table, args.slots}) frozen_value("an input of PagedAttention", at);
    args.out = static_cast<uint16_t*>(output_data(kernel, 0, {args.tokens, args.heads * args.head_size}));
    emulated::paged_attention(args);
  }

 private:
  emulated::PagedAttentionArgs args_;
  bool rotates_ = false;
};

template <Element T, Element C>
struct Attention : AttentionCompute {
  static constexpr const char* name = "PagedAttention";
  static std::vector<Arg> inputs() {
    std::vector<Arg> all(kInputs, {T});
    for (const size_t i : {kKeyCache, kValueCache}) all[i].type = C;
    for (const size_t i : {kCumulative, kPast, kBlockTable, kSlots, kBounds}) all[i].type = kInt32;
    for (const size_t i : {kKScale, kVScale}) all[i].type = kFloat;
    for (const size_t i : {kKey, kValue, kCos, kSin, kSlots, kHeadSink, kQNorm, kKNorm, kKScale, kVScale, kBounds}) all[i].kind = INPUT_OUTPUT_OPTIONAL;
    return all;
  }
  static std::vector<Arg> outputs() { return {{T}}; }
  static std::vector<InPlace> in_place() { return {}; }
  Attention(const NoContext&, const OrtKernelInfo* info)
      : AttentionCompute(info, T == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 ? Float::f16 : Float::bf16,
                         C == T                                       ? CacheElement::same
                         : C == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8 ? CacheElement::int8
                                                                      : CacheElement::float8) {}
};

template <Element T>
struct AttentionOps {
  CustomOp<Attention<T, T>, NoContext> same{context};
  CustomOp<Attention<T, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8>, NoContext> int8{context};
  CustomOp<Attention<T, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FN>, NoContext> float8{context};
  static inline NoContext context;
};

struct Gemm {
  static constexpr const char* name = "Gemm";
  static std::vector<Arg> inputs() {
    constexpr auto kHalf = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    return {{kHalf}, {kHalf}, {kHalf, INPUT_OUTPUT_OPTIONAL}};
  }
  static std::vector<Arg> outputs() { return {{ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16}}; }
  static std::vector<InPlace> in_place() { return {}; }
  Gemm(const NoContext&, const OrtKernelInfo* info) {
    if (attribute_int(info, "transB") != 1) throw std::invalid_argument("Gemm: only with transB = 1");
  }
  void compute(OrtKernelContext* kernel) const {
    const Dims x = input_dims(kernel, 0), w = input_dims(kernel, 1);
    const uint16_t* bias = input_count(kernel) > 2 ? input<uint16_t>(kernel, 2) : nullptr;
    auto* y = static_cast<uint16_t*>(output_data(kernel, 0, {x[0], w[0]}));
    emulated::gemm(input<uint16_t>(kernel, 0), input<uint16_t>(kernel, 1), bias, x[0], x[1], w[0], y);
  }
};

}  // namespace

// They live as long as the process, as the sessions that may use them.
std::vector<OrtCustomOpDomain*> stand_ins() {
  static AttentionOps<ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16> f16;
  static AttentionOps<ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16> bf16;
  static const NoContext context;
  static CustomOp<Gemm, NoContext> gemm(context);
  const auto domain = [](const char* name, std::initializer_list<const OrtCustomOp*> ops) {
    OrtCustomOpDomain* made = nullptr;
    check(ort().CreateCustomOpDomain(name, &made));
    for (const OrtCustomOp* op : ops) check(ort().CustomOpDomain_Add(made, op));
    return made;
  };
  static OrtCustomOpDomain* const microsoft =
      domain("com.microsoft", {&f16.same, &f16.int8, &f16.float8, &bf16.same, &bf16.int8, &bf16.float8});
  static OrtCustomOpDomain* const onnx = domain("", {&gemm});
  return {microsoft, onnx};
}

}  // namespace lorikeet::cuda
