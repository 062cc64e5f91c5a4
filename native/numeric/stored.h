// Weights as quantized checkpoints have them: integers, and a scale and a zero point for each group of inputs of an output. docs/checkpoints.md names the formats.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>
#include "dtype.h"

namespace lorikeet {

enum class StoredLayout : int32_t {
  awq,     // codes [in, out / 8] int32, zeros [groups, out / 8] int32: of eight outputs in a word the nibbles hold 0, 2, 4, 6, 1, 3, 5, 7; scales [groups, out]
  gptq,    // codes [in · bits / 32, out] int32, zeros [groups, out · bits / 32] int32, lowest bits first; scales [groups, out]
  rows,    // compressed-tensors: codes [out, in · bits / 32] int32, lowest bits first; scales [out, groups]
  bytes,   // codes [out, in] int8 about zero; scales [out, groups]
  floats,  // codes [out, in] of type `scale_type`; no scales
  q4_0,    // GGUF's: codes [out, in / block] blocks, which carry their scales
  q8_0,
  q4_k,
  q6_k,
};
constexpr const char* kStoredLayouts[] = {"awq", "gptq", "rows", "bytes", "floats", "q4_0", "q8_0", "q4_k", "q6_k"};

// Inputs of an output that are read together.
constexpr int64_t kStoredGroup = 32;

// Where a part of a weight lies. data is null where there is none.
struct StoredPart {
  const uint8_t* data = nullptr;
  size_t bytes = 0;
};

struct StoredForm {
  StoredLayout layout = StoredLayout::awq;
  int bits = 4;
  int64_t in = 0, out = 0;
  int64_t group = 0;        // inputs that share a scale; the last group may be cut short
  int zero_offset = 0;      // added to zero points as they are stored (GPTQ's first format)
  bool byte_zeros = false;  // `rows` and `bytes`: zeros [out, groups] int8 about zero; else int32 [out · bits / 32, groups]
  bool one_scale = false;   // `bytes`: a single one (and zero point) for all
  int64_t heads = 0;        // rows of as many heads are interleaved as llama.cpp does for rope: two halves, one row of each after the other
  DType scale_type = DType::f16;
  StoredPart codes, scales, zeros;
  StoredPart order;  // int32 [in]: each input's group; null: input / group
};

// Up to 32 inputs of one output: w = scale · (number − zero) + least.
struct StoredGroup {
  float scale, zero, least;
  uint8_t numbers[kStoredGroup];
};

class StoredWeight {
 public:
  // Throws std::runtime_error if a part has another length than the shape makes it, or an input another group than there are. `name` for the message.
  StoredWeight(const StoredForm& form, const std::string& name);

  const StoredForm& form() const { return form_; }
  // What the parts take; kernels and files are told of it.
  int64_t groups() const { return groups_; }
  // Whether each run of 32 inputs, in the order of `read_group`, has one scale and one zero point: groups are multiples of 32 inputs, and whole where inputs are ordered
  // by group.
  bool regular() const { return regular_; }
  // w[row][i] for i < in, in the model's own order of inputs.
  void read_row(int64_t row, float* to) const;
  // Inputs 32 · run … of the row, inputs ordered by group where the checkpoint says which group each is of. Fillers behind the last are zeros. Only if `regular`.
  void read_group(int64_t row, int64_t run, StoredGroup& to) const;

 private:
  struct Scale {
    float scale, zero;
  };
  Scale scale_of(int64_t row, int64_t group) const;
  int zero_of(int64_t row, int64_t group) const;
  int number_at(int64_t row, int64_t input) const;
  bool in_blocks() const { return form_.layout >= StoredLayout::q4_0; }
  int64_t stored_row(int64_t row) const;
  void require_lengths(const std::string& name) const;

  StoredForm form_;
  int64_t groups_ = 0;
  bool regular_ = true;
  std::vector<int32_t> group_of_;  // by input; empty: input / group
  std::vector<int32_t> inputs_;    // ordered by group, within a group as they come; empty: as they come
};

// Rows [first, first + count) as floats, on `threads` threads.
void read_stored(const StoredWeight& weight, int64_t first, int64_t count, float* to, int threads);

}  // namespace lorikeet
