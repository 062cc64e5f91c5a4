// Blocks of GGUF files (ggml's block_q4_0, block_q8_0, block_q4_K, block_q6_K): numbers that carry their scales.
#pragma once
#include "stored.h"

namespace lorikeet {

// Inputs in a block, and its bytes; zero for layouts that have none.
int64_t block_inputs(StoredLayout layout);
int64_t block_bytes(StoredLayout layout);

// Inputs [32 · run, 32 · run + 32) of one row that begins at `row`. Not for q6_k, whose scales are for 16 inputs.
void read_block_group(StoredLayout layout, const uint8_t* row, int64_t run, StoredGroup& to);
// The same as floats, of every layout.
void read_block_values(StoredLayout layout, const uint8_t* row, int64_t run, float* to);

}  // namespace lorikeet
