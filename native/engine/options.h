// native/types.ts's EngineOptions as plain values.
#pragma once
#include <cstdint>
#include <string>
#include <vector>
#include "../numeric/cache_type.h"
#include "../ort/weights.h"
#include "../pool/residents.h"
#include "../step/ngram_index.h"

namespace lorikeet {

struct EngineOptions {
  bool cuda = false;
  std::string library;
  DType dtype = DType::f32;
  std::vector<uint8_t> model;
  std::vector<std::string> files;
  std::vector<InitializerRef> initializers;
  std::string packed_file;  // where packed weights are kept; empty: nowhere
  int threads = 1;
  std::vector<int32_t> cpus;          // one for each thread; empty: not pinned
  std::vector<int32_t> memory_nodes;  // empty: memory from anywhere
  int32_t layers = 0, kv_heads = 0, head_dim = 0, block_size = 0, block_count = 0, site_count = 0;
  CacheType cache = CacheType::f32;
  int64_t vocab_size = 0, added_tokens = 0;
  DType adapter_dtype = DType::f16;
  std::vector<SiteShape> sites;  // empty where the caller does not say
  int64_t frame_bytes = 0;       // 0: blocks are not divided
  bool headless = false;         // the graph ends with the hidden states, and no token can be sampled
  // CUDA only; see native/types.ts.
  double memory_fraction = 0;
  int32_t max_block_count = 0, max_batch_tokens = 0, max_sequences = 0, max_model_len = 0, max_logits_rows = 0, max_site_inputs = 0, hidden_size = 0, head_site = -1, added_head_site = -1;
  NgramLengths lookup = {};  // drafts are looked up by n-grams of these lengths; 0: none
  bool capture_graphs = false, overlap_launches = false;

  // On CUDA an int8 cache has a scale for each layer, and none in the blocks.
  int64_t view_bytes() const {
    return cuda ? int64_t{block_size} * kv_heads * head_dim * static_cast<int64_t>(element_size(cache)) : cache_view_bytes(cache, block_size, kv_heads, head_dim);
  }
  ImageLimits image_limits(int64_t pool_blocks) const { return {pool_blocks, block_bytes(), block_bytes() / frames_in_block(), site_count, adapter_dtype, sites}; }
  // Ids that a sequence may have, whatever its adapters.
  int64_t columns() const { return vocab_size + added_tokens; }
  int64_t block_bytes() const { return view_bytes() * 2 * layers; }
  int64_t frames_in_block() const { return frame_bytes ? block_bytes() / frame_bytes : 1; }
};

}  // namespace lorikeet
