// The CUDA kernels' interface for adapters: raw device pointers, shapes and a stream. No N-API, no ONNX Runtime, no CUDA header needed to call it.
// The semantics are those of native/kernels/kernels.h; here x, y and rank rows are float16 or bfloat16 (one type for all three), sums are float32 in a
// fixed order, and nothing allocates or synchronizes. A row's result is the same bits alone and in any batch, in narrow and in wide tiles.
#pragma once
#include "../kernels.h"
#include "plan.h"

struct CUstream_st;

namespace lorikeet::cuda {

using Stream = CUstream_st*;

// What every adapter kernel of a step shares. All pointers are the device's.
struct AdapterStep {
  const uint8_t* pool = nullptr;
  PlanView plan;
  size_t ranks_at = 0;      // rank_rows_at(the model's sites)
  DType dtype = DType::f16;  // of activations and rank rows; f16 or bf16
};

// How to launch. `counts` bound the grids: the plan's own counts, or for a captured graph the most that the bucket may replay with. Kernels read the
// counts from the device and loop, so any bound gives right results; a list whose bound is 0 is not launched at all.
struct Launch {
  PlanCounts counts;
  int32_t multiprocessors = 132;
  // Start shrink and expand while the kernel before them drains (programmatic dependent launch; compute capability 9.0 and up).
  bool overlap = false;
  // While the shrink ends, ask the L2 cache for the rows of B that the expand reads first.
  bool prefetch = true;
  Stream stream = nullptr;
};

// Semantics: as lorikeet::LoraArgs. y_p is updated in place.
// Shape: x [rows, in]; y_p [rows, out_p], each dense or all of them columns of one matrix (y_stride); h: scratch of lora_scratch_bytes(...).
struct LoraOp {
  const void* x = nullptr;
  int64_t in = 0;
  int32_t products = 0;
  void* y[kMaxProducts] = {};
  int64_t out[kMaxProducts] = {};
  int32_t site[kMaxProducts] = {};
  float* h = nullptr;
  int32_t h_rows = 0;    // that `h` has room for: at least the plan's
  int32_t y_stride = 0;  // elements from row to row of every y_p; 0: out_p
};

// The shrink's dot products are cut into this many parts of lora_chunk(in) elements, a function of `in` alone, and summed in order.
int64_t lora_chunk(int64_t in);
int64_t lora_chunks(int64_t in);
// Prefill with few wide tiles splits the dot products over blocks as decode does; with many, a block walks all chunks and writes one sum (then 1).
int32_t lora_wide_splits(const LoraOp& op, const Launch& launch);
size_t lora_scratch_bytes(int64_t in, int32_t products, int32_t h_rows);

// Each returns a cudaError_t (0 = launched).
int batched_lora(const AdapterStep& step, const LoraOp& op, const Launch& launch);
// The three kernels of batched_lora alone, in this order (the checker times them one by one).
int lora_shrink(const AdapterStep& step, const LoraOp& op, const Launch& launch);
int lora_expand(const AdapterStep& step, const LoraOp& op, const Launch& launch);
int lora_direct(const AdapterStep& step, const LoraOp& op, const Launch& launch);

// Semantics: x[t] += Σ_e w_e (in_scale_e ⊙ x[t] − x[t]) in place.  Shape: x [rows, in].
int scale_input(const AdapterStep& step, void* x, int64_t in, int32_t site, const Launch& launch);

// Semantics: as lorikeet::EmbeddingArgs with `added_site` as the second product (none: −1), but e of added tokens must come as zeros.
// Shape: ids [rows]; e [rows, hidden], in place; rank rows of A have `vocabulary` elements.
int batched_embedding(const AdapterStep& step, const int32_t* ids, void* e, int64_t vocabulary, int64_t hidden, int32_t site, int32_t added_site,
                      const Launch& launch);

}  // namespace lorikeet::cuda
