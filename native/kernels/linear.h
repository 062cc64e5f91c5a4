// Products of activations with weights that are kept in 16, 8 or 4 bits. As kernels.h: raw pointers, shapes and a way to run in parallel.
//
// A weight W [out, in] is packed once, in tiles of outputs that a product reads from front to back exactly once. Activations come and leave in float32:
//   bf16   weights rounded to nearest even; activations rounded likewise where the processor multiplies bfloat16 (AVX512-BF16, NEON with BF16), float32 elsewhere
//   f16    weights rounded to nearest even; activations in float32
//   int8   w ≈ scale[o] · q, q in [−127, 127], symmetric for each output
//   int4   w ≈ scale · q + least, q in [0, 15], for each output and group of 32 inputs; scale and least fitted by least squares, kept in 16 bits each: 5 bits a weight
//   uint4  w = scale · (q − zero), q in [0, 15], for each output and group of 32 inputs: weights that a checkpoint has in 4 bits already, kept as they are
//   uint8  the same with q in [0, 255]
// The activations of all but bf16 and f16 are rounded to int8 with a scale for each row and group of 32 inputs, once for all products that share them. (Measured on
// SmolLM2-135M: perplexity −0.04 % with groups of 32, +3.9 % with one scale for a row.)
#pragma once
#include <cstddef>
#include <cstdint>
#include "../numeric/stored.h"
#include "kernels.h"

namespace lorikeet {

enum class WeightForm : int32_t { bf16 = 0, f16 = 1, int8 = 2, int4 = 3, uint4 = 4, uint8 = 5 };
// Whether activations are rounded to int8.
constexpr bool rounds_inputs(WeightForm form) { return form != WeightForm::bf16 && form != WeightForm::f16; }

struct LinearShape {
  WeightForm form = WeightForm::bf16;
  int64_t in = 0, out = 0;
};

// Ranges of output rows that begin at multiples of this may be packed at the same time.
constexpr int64_t kLinearTile = 32;
// Inputs that share a scale (activations that are rounded, weights of int4, uint4 and uint8).
constexpr int64_t kLinearGroup = 32;
// Bytes of an output's inputs that lie together in most packed weights.
constexpr int32_t kLinearStep = 4;

// Semantics: y_p[t] = W_p x[t] + bias_p.
// Shape: x [rows, in], x_stride elements from row to row; shape[p].in is the same for all p, shape[p].form too; y_p [rows, out_p], y_stride[p] from row to row;
//        bias_p [out_p] or null; packed[p] as pack_linear left it, 64-byte aligned. No y overlaps x or another y.
// A row's result does not depend on what else is in the batch, bit for bit, nor on the number of threads. A NaN or infinity in a row makes NaN of that row's
// results where it is rounded to int8; no other row sees it.
struct LinearArgs {
  const float* x = nullptr;
  int64_t rows = 0, x_stride = 0;
  int32_t products = 0;
  LinearShape shape[kMaxProducts];
  const void* packed[kMaxProducts] = {};
  const float* bias[kMaxProducts] = {};
  float* y[kMaxProducts] = {};
  int64_t y_stride[kMaxProducts] = {};
};

// One instruction set's products. They differ in how many outputs lie in a tile, so packed weights are for those with the same `layout`.
struct LinearKernels {
  const char* name;
  uint32_t layout;
  int32_t width;  // outputs in a tile; divides kLinearTile
  void (*linear)(const LinearArgs&, const Parallel&);
  int32_t step = kLinearStep;  // bytes of an output that lie together
};

// Best first. Null where the machine or the build lacks it, or there is none of that name.
constexpr const char* kLinearNames[] = {"avx512bf16", "avx512vnni", "avx512", "avxvnni", "avx2", "neonbf16", "neondot", "neon", "portable"};
const LinearKernels* linear_kernels_named(const char* name);
// The one to use: the best, or what LORIKEET_SIMD names (if the machine has it).
const LinearKernels& linear_kernels();

// Bytes of a packed weight, a multiple of 64.
size_t linear_bytes(const LinearShape& shape, const LinearKernels& kernels = linear_kernels());
// Names the layout of packed weights, for those who keep them in files.
uint32_t linear_layout();

// Packs output rows [first, first + count): rows [count, in], row-major. Disjoint ranges may be packed by several threads at once if each but the last begins
// and ends at a multiple of kLinearTile; the outputs that fill the last tile up are written with the last row. An output that has NaN or infinity among its
// weights is NaN whatever the activations.
void pack_linear(const LinearShape& shape, const float* rows, int64_t first, int64_t count, void* packed, const LinearKernels& kernels = linear_kernels());

// The same of a weight that is quantized already, whose numbers are kept: w = scale · (q − zero) as uint4 or uint8; as int8 where one symmetric scale holds for an
// output; as int4 where it is scale · q + least (GGUF's Q4_K). Scales are kept in 16 bits beside a power of two for each output: exactly if they are float16, and
// if they are bfloat16 unless those of one output differ by more than 2^14; else rounded to nearest. An output with a scale that is NaN or infinite is NaN.
// `weight` must be `regular`; inputs lie as its read_group has them.
void pack_stored(const LinearShape& shape, const StoredWeight& weight, int64_t first, int64_t count, void* packed, const LinearKernels& kernels = linear_kernels());

// Whether pack_stored has the weight's values in this form, in the model's own order of inputs or, of uint4 and uint8, in that of read_group.
bool keeps_stored(WeightForm form, const StoredWeight& weight);

// out[i] = W[row][i] as the packed weight has it, for i < in: a tied embedding's lookup.
void unpack_row(const LinearShape& shape, const void* packed, int64_t row, float* out, const LinearKernels& kernels = linear_kernels());

// y = W x as above, with linear_kernels().
void linear(const LinearArgs& args, const Parallel& parallel);

}  // namespace lorikeet
