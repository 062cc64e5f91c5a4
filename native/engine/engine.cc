#include "engine.h"
#include <algorithm>
#include <chrono>
#include <cstring>

namespace lorikeet {
namespace {

double ms_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

size_t element_bytes(ONNXTensorElementDataType t) { return t == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ? 4 : 2; }

}  // namespace

Engine::Engine(EngineOptions options, const std::function<void(float)>& progress)
    : layers_(options.layers), kv_heads_(options.kv_heads), head_dim_(options.head_dim), block_size_(options.block_size) {
  load_ort(options.library);
  context_.adapter_dtype = options.adapter_dtype;
  context_.threads = options.threads;
  context_.vocab_size = options.vocab_size;
  size_t total = 1, read = 0;
  for (const auto& path : options.files) total += files_.emplace_back(path).size();
  for (const auto& file : files_)
    file.prefetch([&](size_t bytes) {
      read += bytes;
      progress(static_cast<float>(read) / static_cast<float>(total));
    });
  const int64_t block_bytes = int64_t{options.block_size} * options.layers * 2 * options.kv_heads * options.head_dim * sizeof(float);
  pool_ = std::make_unique<Pool>(options.block_count, block_bytes);
  table_ = std::make_unique<AdapterTable>(*pool_, options.site_count);
  OrtMemoryInfo* memory = nullptr;
  check(ort().CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
  memory_.reset(memory);
  domain_ = std::make_unique<OpDomain>(context_);
  create_session(options);
  bind_cache();
  // What ONNX Runtime repacked or cast it has copied; what it uses in place is read again from the page cache.
  for (const auto& file : files_) file.release_pages();
}

Engine::~Engine() = default;

void Engine::create_session(const EngineOptions& options) {
  OrtSessionOptions* raw = nullptr;
  check(ort().CreateSessionOptions(&raw));
  SessionOptionsPtr session_options(raw);
  check(ort().SetIntraOpNumThreads(raw, options.threads));
  check(ort().SetInterOpNumThreads(raw, 1));
  check(ort().SetSessionGraphOptimizationLevel(raw, ORT_ENABLE_ALL));
  check(ort().DisableMemPattern(raw));  // shapes change every step
  // Workers spin between a step's operators, but not after it: the server's JavaScript threads need the cores then.
  check(ort().AddSessionConfigEntry(raw, "session.force_spinning_stop", "1"));
  check(ort().AddCustomOpDomain(raw, domain_->get()));

  std::vector<ValuePtr> values;
  std::vector<const char*> names;
  for (const auto& tensor : options.initializers) {
    const MappedFile& file = files_.at(tensor.file);
    if (tensor.offset + tensor.length > file.size())
      throw std::runtime_error("tensor " + tensor.name + " lies beyond the end of " + options.files[tensor.file]);
    const uint8_t* data = file.data() + tensor.offset;
    if (reinterpret_cast<uintptr_t>(data) % element_bytes(tensor.dtype)) data = aligned_.emplace_back(data, data + tensor.length).data();
    OrtValue* value = nullptr;
    check(ort().CreateTensorWithDataAsOrtValue(memory_.get(), const_cast<uint8_t*>(data), tensor.length, tensor.shape.data(),
                                               tensor.shape.size(), tensor.dtype, &value));
    values.emplace_back(value);
    names.push_back(tensor.name.c_str());
  }
  std::vector<const OrtValue*> pointers;
  for (const auto& value : values) pointers.push_back(value.get());
  if (!pointers.empty()) check(ort().AddExternalInitializers(raw, names.data(), pointers.data(), pointers.size()));
  OrtSession* session = nullptr;
  check(ort().CreateSessionFromArray(ort_env(), options.model.data(), options.model.size(), raw, &session));
  session_.reset(session);
}

void Engine::bind_cache() {
  const int64_t view_floats = int64_t{block_size_} * kv_heads_ * head_dim_;
  const int64_t views = pool_->block_count() * 2 * layers_;
  for (int64_t shift = 0; shift < 2 * layers_; shift++) {
    // From here the pool's end is `shift` views nearer; block_table never reaches past it, since block * 2L + shift < views.
    const int64_t shape[] = {views - shift, block_size_, kv_heads_, head_dim_};
    float* data = reinterpret_cast<float*>(pool_->data()) + shift * view_floats;
    OrtValue* value = nullptr;
    check(ort().CreateTensorWithDataAsOrtValue(memory_.get(), data, (views - shift) * view_floats * sizeof(float), shape, 4,
                                               ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &value));
    cache_.emplace_back(value);
    cache_names_.push_back((shift % 2 ? "value_cache." : "key_cache.") + std::to_string(shift / 2));
  }
}

void Engine::resolve(StepInput& input) const {
  const size_t segments = input.segment_starts.size() - 1;
  input.segment_status.assign(segments, 0);
  input.resolved.assign(input.entry_adapter.size(), nullptr);
  for (size_t s = 0; s < segments; s++)
    for (int32_t e = input.segment_entries[s]; e < input.segment_entries[s + 1]; e++) {
      input.resolved[e] = table_->resolve({input.entry_adapter[e], input.entry_generation[e], input.entry_digest[e]});
      if (!input.resolved[e]) input.segment_status[s] = 1;
    }
}

StepResult Engine::run(StepInput& input) {
  const auto started = std::chrono::steady_clock::now();
  const int64_t batch = static_cast<int64_t>(input.past.size()), segments = static_cast<int64_t>(input.segment_status.size());
  StepResult result;
  context_.adapters = std::move(input.resolved);
  context_.sampling = &input.sampling;
  context_.return_logits = input.return_logits;
  context_.result = &result;

  const int32_t views = 2 * layers_;
  std::vector<int32_t> block_table(input.block_table.size()), slots(input.slots.size()), logits_starts(segments + 1), entry(context_.adapters.size());
  for (size_t i = 0; i < block_table.size(); i++) block_table[i] = input.block_table[i] * views;
  for (size_t i = 0; i < slots.size(); i++)
    slots[i] = input.slots[i] < 0 ? -1 : input.slots[i] / block_size_ * views * block_size_ + input.slots[i] % block_size_;
  for (int64_t s = 0; s <= segments; s++)
    logits_starts[s] = static_cast<int32_t>(
        std::lower_bound(input.logits_indices.begin(), input.logits_indices.end(), input.segment_starts[s]) - input.logits_indices.begin());
  for (size_t e = 0; e < entry.size(); e++) entry[e] = static_cast<int32_t>(e);

  std::vector<const char*> names;
  std::vector<const OrtValue*> values;
  std::vector<ValuePtr> owned;
  auto feed = [&](const char* name, void* data, size_t element, ONNXTensorElementDataType type, std::vector<int64_t> shape) {
    static char nothing[8];  // ONNX Runtime wants a pointer even for no elements
    size_t count = 1;
    for (int64_t d : shape) count *= static_cast<size_t>(d);
    OrtValue* value = nullptr;
    check(ort().CreateTensorWithDataAsOrtValue(memory_.get(), count ? data : nothing, count * element, shape.data(), shape.size(), type, &value));
    owned.emplace_back(value);
    names.push_back(name);
    values.push_back(value);
  };
  auto ints = [&](const char* name, std::vector<int32_t>& v, std::vector<int64_t> shape) {
    feed(name, v.data(), 4, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, std::move(shape));
  };
  auto row = [](const auto& v) { return std::vector<int64_t>{static_cast<int64_t>(v.size())}; };
  ints("input_ids", input.input_ids, row(input.input_ids));
  ints("cumulative_sequence_length", input.cumulative, row(input.cumulative));
  ints("past_seqlens", input.past, row(input.past));
  ints("block_table", block_table, {batch, batch ? static_cast<int64_t>(block_table.size()) / batch : 0});
  ints("slot_mapping", slots, row(slots));
  ints("segment_starts", input.segment_starts, row(input.segment_starts));
  ints("logits_segment_starts", logits_starts, row(logits_starts));
  ints("segment_entries", input.segment_entries, row(input.segment_entries));
  ints("entry_adapter", entry, row(entry));
  feed("entry_weight", input.entry_weight.data(), 4, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, row(input.entry_weight));
  ints("logits_indices", input.logits_indices, row(input.logits_indices));
  for (size_t i = 0; i < cache_.size(); i++) {
    names.push_back(cache_names_[i].c_str());
    values.push_back(cache_[i].get());
  }
  const char* output_name = "tokens";  // what is sampled lies in `result` by then
  OrtValue* tokens = nullptr;
  OrtStatus* status = ort().Run(session_.get(), nullptr, names.data(), values.data(), values.size(), &output_name, 1, &tokens);
  context_.adapters.clear();
  check(status);
  ort().ReleaseValue(tokens);
  result.segment_status = std::move(input.segment_status);
  result.run_ms = ms_since(started) - result.sample_ms;
  return result;
}

}  // namespace lorikeet
