// The CPU kernels' interface: raw pointers, shapes and a way to run in parallel. No N-API, no ONNX Runtime.
// Each function states its semantics and shapes; all matrices are row-major and dense unless a stride is given.
#pragma once
#include <cstddef>
#include <cstdint>
#include "../numeric/cache_type.h"
#include "matrix.h"

namespace lorikeet {

// Runs task(data, i) for i in [0, count), possibly at the same time on `threads` threads, and returns when all are done.
struct Parallel {
  int threads = 1;
  void* context = nullptr;
  void (*run)(void* context, void (*task)(void* data, size_t i), size_t count, void* data) = nullptr;
};

// One site of one resident adapter; the canonical delta of adapters-store/types.ts. Pointers go straight into the pool.
struct SiteDelta {
  int32_t rank = 0;
  const void* const* a = nullptr;     // [rank] rows of A, each in_features elements of DType
  const void* const* b = nullptr;     // [rank] rows of Bᵀ, each out_features elements; null: h = A x goes to the output directly
  const float* scales = nullptr;      // [rank] int8 only: h_j, or without A and B's products row j itself, is multiplied by scales[j]
  const int32_t* index = nullptr;     // without b: [rank] output indices (ascending); null = identity
  const float* out_scale = nullptr;   // [out_features] or null
  const float* bias = nullptr;        // [out_features] or null
  const float* in_scale = nullptr;    // [in_features] or null; applied to x by scale_input before, never by batched_lora
};

constexpr int kMaxProducts = 3;

// One adapter of a segment's mix: its weight, and its delta at each product's site (null where it has none).
struct LoraEntry {
  float weight = 1;
  const SiteDelta* delta[kMaxProducts] = {};
};

// Rows [begin, end) share the entries. Segments may be empty of rows or of entries.
struct LoraSegment {
  int64_t begin = 0, end = 0;
  const LoraEntry* entries = nullptr;
  int32_t entry_count = 0;
};

// Semantics: for each row t of a segment, each product p:  y_p[t] += Σ_e w_e (s_e ⊙ (y_p[t] + B_e (A_e x[t])) + bias_e − y_p[t])
//            where s_e = 1, bias_e = 0, B_e A_e = 0 when absent, and y_p[t] on the right is the value before the call.
// Shape: x [rows, in]; y_p [rows, out_p]; A_e [rank, in]; B_e [out_p, rank] given as rank rows of out_p.
// A row's result does not depend on what else is in the batch, bit for bit.
struct LoraArgs {
  const float* x = nullptr;
  int64_t in = 0;
  int32_t products = 0;
  float* y[kMaxProducts] = {};
  int64_t out[kMaxProducts] = {};
  const LoraSegment* segments = nullptr;
  int32_t segment_count = 0;
  DType dtype = DType::f16;
};

// Semantics: x[t] += Σ_e w_e (in_scale_e ⊙ x[t] − x[t]) in place, with entry.delta[0].  Shape: x [rows, in] is LoraArgs::y[0] with out[0] = in.
// (LoraArgs is reused: y[0] and out[0] are the rows and their width; x is not read.)

// Semantics: e[t] += Σ_w w · Δ(id[t]), Δ of entry.delta[0].  LoRA form (b != null): Δ(i) = Σ_j A[j][i] · B[j].  Rows form (b == null): Δ(i) = A[j] where index[j] == i
//            (index null: j = i), zero if i is not in index. Out-of-range ids of the LoRA form add nothing.
//            With two products, an id from `in` on is one that the adapter adds: e[t], whatever it held, becomes Σ_w w · Δ(id[t] − in), Δ in the rows form of
//            entry.delta[1].
// Shape: ids [rows]; e [rows, hidden] is LoraArgs::y[0], out[0] = hidden; LoRA form: A rows have `in` = vocabulary elements, B rows hidden.
struct EmbeddingArgs {
  const int32_t* ids = nullptr;
  LoraArgs lora;
};

// Semantics: see docs/graph.md, PagedAttention. All in float32 but the caches, whose elements are rounded once, when they are written.
// Shape: query [tokens, heads*head_size]; key, value [tokens, kv_heads*head_size]; key_cache [views, kv_heads, head_size, block_size] and
//        value_cache [views, kv_heads, block_size, head_size] of `cache`, a view being cache_view_bytes long (int8: scales behind its elements);
//        cumulative [batch+1]; past [batch]; block_table [batch, max_blocks] in views; cos, sin [positions, rotary_dim/2] or null (no rotary);
//        slots [tokens], view*block_size+offset, -1 = write nothing and attend to what the cache holds, at the token's own position too;
//        q_norm, k_norm [head_size] or null; out [tokens, heads*head_size].
struct AttentionArgs {
  const float* query = nullptr;
  const float* key = nullptr;
  const float* value = nullptr;
  uint8_t* key_cache = nullptr;
  uint8_t* value_cache = nullptr;
  const int32_t* cumulative = nullptr;
  const int32_t* past = nullptr;
  const int32_t* block_table = nullptr;
  const float* cos = nullptr;
  const float* sin = nullptr;
  const int32_t* slots = nullptr;
  const float* q_norm = nullptr;
  const float* k_norm = nullptr;
  float* out = nullptr;
  int64_t tokens = 0, batch = 0, max_blocks = 0, rotary_dim = 0;
  int32_t heads = 0, kv_heads = 0, head_size = 0, block_size = 0;
  float scale = 1, softcap = 0, norm_epsilon = 1e-6f;
  int32_t window = -1;  // tokens a query sees, itself included; -1 = all
  CacheType cache = CacheType::f32;  // any but f8
  bool interleaved = false;
};

enum class Activation : int32_t { silu, gelu_tanh, gelu, relu };

// Semantics: y[t][i] = act(gate[t][i]) · up[t][i]. silu: x / (1 + e^−x). gelu: x Φ(x), Φ the normal distribution; gelu_tanh: its approximation by tanh.
// Shape: gate, up [rows, width] with `stride` elements from row to row (2 · width where both lie in one matrix, gate before up); y [rows, width], dense.
//        y may be gate or up where those are dense.
struct GatedArgs {
  const float* gate = nullptr;
  const float* up = nullptr;
  float* y = nullptr;
  int64_t rows = 0, width = 0, stride = 0;
  Activation activation = Activation::silu;
};

// Semantics: sum[t] = x[t] + y[t]; normed[t] = sum[t] / √(mean of sum[t]² + epsilon) ⊙ weight, in float32. Without y the sum is x, and is not written.
//            A row's result does not depend on what else is in the batch, bit for bit.
// Shape: x, y, sum, normed [rows, width]; weight [width]. sum may be x or y, normed may be x or y, but not both the same.
struct NormArgs {
  const float* x = nullptr;
  const float* y = nullptr;
  const float* weight = nullptr;
  float* sum = nullptr;
  float* normed = nullptr;
  int64_t rows = 0, width = 0;
  float epsilon = 0;
};

// Rows [first, first + count) of a matrix.
struct RowRange {
  int32_t first = 0, count = 0;
};

// Semantics: sums[r][i] = Σ over the rows t of ranges[r], in their order, of x[t][i] / √(mean of x[t]² + epsilon) · weight[i]: the final hidden states, each in float32 and summed in
//            float64. A sum does not depend on what else is in the batch, bit for bit.
// Shape: x [rows, width]; weight [width]; ranges [range_count], of rows that are there; sums [range_count, width].
struct RowSumArgs {
  const float* x = nullptr;
  const float* weight = nullptr;
  const RowRange* ranges = nullptr;
  double* sums = nullptr;
  int64_t width = 0;
  int32_t range_count = 0;
  float epsilon = 0;
};
void sum_normed_rows(const RowSumArgs& args, const Parallel& parallel);

// How often a token has come so far: at all, and in the output alone.
struct TokenCount {
  int32_t token = 0, occurrences = 0, output = 0;
};

// Status of a row whose logits are finite numbers, but none is of a token that may be sampled.
inline constexpr uint8_t kNothingAllowed = 3;

// One row of logits to sample from; see SamplingParams in runtime/types.ts for the meaning of each option.
struct SamplingRow {
  float temperature = 0, top_p = 1, min_p = 0;
  int32_t top_k = 0;
  uint64_t seed = 0;
  int32_t position = 0;
  float presence = 0, frequency = 0, repetition = 1;
  const TokenCount* counts = nullptr;  // each token once, for penalties
  int32_t count_count = 0;
  const int32_t* bias_tokens = nullptr;
  const float* bias_values = nullptr;
  int32_t bias_count = 0;
  const int32_t* banned = nullptr;  // never sampled
  int32_t banned_count = 0;
  const int32_t* bad_words = nullptr;  // bad_words.h; they forbid a token by the row's output so far, which has `position` tokens
  int32_t bad_word_count = 0;
  const int32_t* output = nullptr;  // [position], where there are bad words
  const uint32_t* allowed = nullptr;  // bit i % 32 of word i / 32: token i may be sampled; null: all may
  int32_t logprobs = -1, target = -1;
  uint8_t withheld = 0;  // not 0: nothing is sampled, and this is the row's status
  int32_t vocab = 0;  // tokens from here on do not exist for it; 0: all of SampleArgs::vocab do, and none of those that adapters add
};

struct SamplingResult {
  int32_t token = -1;
  float logprob = 0;
  int32_t rank = 0;
  int32_t top_count = 0;   // entries written to top_tokens / top_logprobs, best first
  uint8_t status = 0;      // 1: the row holds NaN or +inf, or nothing but −inf; kNothingAllowed; or SamplingRow::withheld
};

// Order of effects (as vLLM's): raw logprobs are read from the untouched logits; then bias and bans, repetition, frequency and presence penalties,
// temperature, min-p, top-k (the k-th's equals stay), top-p (of equals the lowest ids), and a draw that depends on (seed, position) alone: the inverse of
// the cumulative distribution in order of ids. A temperature below 1e-5 takes the largest (lowest id on ties). Token ids outside the row's vocabulary are ignored.
// Shape: logits [rows, vocab] (may be overwritten); added [rows, added_vocab], those of tokens vocab, vocab + 1, … that adapters add; top_tokens, top_logprobs: for row r at offset top_offset[r], room for rows[r].logprobs each.
struct SampleArgs {
  float* logits = nullptr;
  int64_t vocab = 0;
  const float* added = nullptr;
  int64_t added_vocab = 0;
  const SamplingRow* rows = nullptr;
  int32_t row_count = 0;
  SamplingResult* results = nullptr;
  const int32_t* top_offset = nullptr;
  int32_t* top_tokens = nullptr;
  float* top_logprobs = nullptr;
};

// One table of functions per instruction set; the best that the machine has is chosen once. LORIKEET_SIMD=avx512|avx2|portable forces a lesser one (and linear.h's finer ones).
struct Kernels {
  const char* name;  // "avx512bf16", "avx512", "avx2", "neon", "portable"
  void (*batched_lora)(const LoraArgs&, const Parallel&);
  void (*scale_input)(const LoraArgs&, const Parallel&);
  void (*batched_embedding)(const EmbeddingArgs&, const Parallel&);
  void (*paged_attention)(const AttentionArgs&, const Parallel&);
  void (*sample)(const SampleArgs&, const Parallel&);
  void (*gated_activation)(const GatedArgs&, const Parallel&);
  void (*add_norm)(const NormArgs&, const Parallel&);
  // Folding; see matrix.h.
  // Elements [row, row + rows) × [column, column + columns) as floats, to[r · width + c]; width: a multiple of 16, filled up with zeros.
  void (*read_tile)(const Matrix&, int64_t row, int64_t rows, int64_t column, int64_t columns, float* to, int64_t width);
  // to[i] = from[i] · factor, rounded to nearest even; for int8 within ±127.
  void (*write_row)(const float* from, int64_t count, float factor, DType type, uint8_t* to);
  // The largest magnitude; infinite if a value is infinite or no number.
  float (*largest_magnitude)(const float* values, int64_t count);
  void (*add_product)(const ProductArgs&, const Parallel&);
  void (*row_products)(const RowProductArgs&, const Parallel&);
};

// Null where the machine (or the build) lacks it.
const Kernels* kernels_avx512bf16();
const Kernels* kernels_avx512();
const Kernels* kernels_avx2();
const Kernels* kernels_neon();
const Kernels* kernels_portable();
// The one to use.
const Kernels& kernels();

}  // namespace lorikeet
