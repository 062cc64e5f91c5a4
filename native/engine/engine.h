// A model ready to run: session, pool, adapter table. No N-API; one step at a time.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>
#include "../ops/ops.h"
#include "../pool/pool.h"
#include "mapped_file.h"
#include "ort.h"
#include "step.h"

namespace lorikeet {

// A tensor of a mapped file that an initializer of the graph names.
struct InitializerRef {
  std::string name;
  ONNXTensorElementDataType dtype;
  std::vector<int64_t> shape;
  size_t file, offset, length;
};

struct EngineOptions {
  std::string library;
  std::vector<uint8_t> model;
  std::vector<std::string> files;
  std::vector<InitializerRef> initializers;
  int threads = 1;
  int32_t layers = 0, kv_heads = 0, head_dim = 0, block_size = 0, block_count = 0, site_count = 0;
  int64_t vocab_size = 0;
  DType adapter_dtype = DType::f16;
};

class Engine {
 public:
  // Maps the files and creates the session. `progress` gets the fraction of the bytes read. Throws std::exception.
  Engine(EngineOptions options, const std::function<void(float)>& progress);
  ~Engine();

  AdapterTable& adapters() { return *table_; }
  int64_t block_bytes() const { return pool_->block_bytes(); }
  // Looks the batch's adapters up in the table; call where the table may not change meanwhile. Fills input.resolved and input.segment_status.
  void resolve(StepInput& input) const;
  // Runs the graph and samples. Throws std::exception; KV outside the batch's slots is untouched then.
  StepResult run(StepInput& input);

 private:
  void create_session(const EngineOptions& options);
  void bind_cache();

  StepContext context_;
  std::vector<MappedFile> files_;
  std::vector<std::vector<uint8_t>> aligned_;  // copies of tensors that lie at odd addresses
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<AdapterTable> table_;
  std::unique_ptr<OpDomain> domain_;
  MemoryInfoPtr memory_;
  SessionPtr session_;
  std::vector<std::string> cache_names_;
  std::vector<ValuePtr> cache_;  // key_cache.0, value_cache.0, key_cache.1, …: views of the pool
  int32_t layers_, kv_heads_, head_dim_, block_size_;
};

}  // namespace lorikeet
