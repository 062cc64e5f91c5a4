#include "cpu_engine.h"
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include "placement.h"

namespace lorikeet {
namespace {

double ms_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

// ONNX Runtime repacks weight after weight and tells nobody: without this all of the checkpoint would be mapped beside what is made of it. A page that is let go of too
// early is mapped again from the page cache.
class PagesReleased {
 public:
  explicit PagesReleased(const Weights& weights)
      : thread_([this, &weights] {
          std::unique_lock lock(mutex_);
          while (!ended_.wait_for(lock, std::chrono::milliseconds(20), [this] { return over_; })) weights.release_pages();
        }) {}
  PagesReleased(const PagesReleased&) = delete;
  ~PagesReleased() {
    {
      std::lock_guard lock(mutex_);
      over_ = true;
    }
    ended_.notify_one();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  bool over_ = false;
  std::thread thread_;  // the last: it uses the others
};

StepContext context_of(const EngineOptions& options) {
  StepContext context;
  context.adapter_dtype = options.adapter_dtype;
  context.cache = options.cache;
  context.block_size = options.block_size;
  context.threads = options.threads;
  context.vocab_size = options.vocab_size;
  context.added_tokens = options.added_tokens;
  return context;
}

// Microseconds that an idle worker spins before it sleeps. A step's gaps between products are shorter, so that on cores of its own it never sleeps within one; on shared cores
// a worker that spins while another thread is off its core takes the time that this one needs (docs/benchmarks.md, "Shared cores").
constexpr const char* kSpinMicroseconds = "20";

// ONNX Runtime makes one thread fewer than compute, and counts CPUs from 1; the first of `cpus` is the caller's.
std::string worker_affinities(const std::vector<int32_t>& cpus) {
  std::string text;
  for (size_t i = 1; i < cpus.size(); i++) text += (i > 1 ? ";" : "") + std::to_string(cpus[i] + 1);
  return text;
}

}  // namespace

CpuEngine::CpuEngine(const EngineOptions& options, const std::function<void(float)>& progress)
    : context_(context_of(options)),
      weights_(options.files, options.packed_file),
      pool_(options.block_count, options.block_bytes()),
      limits_(options.image_limits(options.block_count)),
      domain_(context_),
      headless_(options.headless),
      layers_(options.layers),
      block_size_(options.block_size),
      site_count_(options.site_count) {
  prefer_nodes(options.memory_nodes);
  prefer_nodes(options.memory_nodes, pool_.data(), static_cast<size_t>(pool_.block_count() * pool_.block_bytes()));
  OrtMemoryInfo* memory = nullptr;
  check(ort().CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
  memory_.reset(memory);
  OrtSessionOptions* raw = nullptr;
  check(ort().CreateSessionOptions(&raw));
  SessionOptionsPtr session_options(raw);
  check(ort().SetIntraOpNumThreads(raw, options.threads));
  check(ort().SetInterOpNumThreads(raw, 1));
  check(ort().SetSessionGraphOptimizationLevel(raw, ORT_ENABLE_ALL));
  check(ort().DisableMemPattern(raw));  // shapes change every step
  // Workers spin between a step's operators, but not after it: the server's JavaScript threads need the cores then.
  check(ort().AddSessionConfigEntry(raw, "session.force_spinning_stop", "1"));
  check(ort().AddSessionConfigEntry(raw, "session.intra_op.spin_duration_us", kSpinMicroseconds));
  if (options.cpus.size() > 1) check(ort().AddSessionConfigEntry(raw, "session.intra_op_thread_affinities", worker_affinities(options.cpus).c_str()));
  check(ort().AddCustomOpDomain(raw, domain_.get()));
  {
    const PagesReleased during(weights_);
    weights_.add_to(raw, options.initializers, options.threads, progress);
    context_.packed = weights_.packed();
    OrtSession* session = nullptr;
    check(ort().CreateSessionFromArray(ort_env(), options.model.data(), options.model.size(), raw, &session));
    session_.reset(session);
  }
  bind_cache();
  weights_.release_pages();
  open_slots(options);
  context_.slots = &slots();
  // Last: threads that pack weights are made by this one, and would have to share its CPU.
  if (!options.cpus.empty()) pin_thread(options.cpus[0]);
}

std::weak_ptr<const void> CpuEngine::bring_in(const AdapterIdentity& id, const PackedAdapter& adapter) {
  check_image(id, adapter, limits_);
  auto resident = point_into(id, adapter, limits_);
  table_.put(id.index, resident);
  return resident;
}

void CpuEngine::bind_cache() {
  const int64_t views = pool_.block_count() * 2 * layers_, view_bytes = pool_.block_bytes() / (2 * layers_);
  for (int64_t shift = 0; shift < 2 * layers_; shift++) {
    // From here the pool's end is `shift` views nearer; block_table never reaches past it, since block * 2L + shift < views.
    const int64_t shape[] = {views - shift, view_bytes};
    OrtValue* value = nullptr;
    check(ort().CreateTensorWithDataAsOrtValue(memory_.get(), pool_.data() + shift * view_bytes, (views - shift) * view_bytes, shape, 2,
                                               ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, &value));
    cache_.emplace_back(value);
    cache_names_.push_back((shift % 2 ? "value_cache." : "key_cache.") + std::to_string(shift / 2));
  }
}

void CpuEngine::launch(Step& step) {
  const auto started = std::chrono::steady_clock::now();
  StepInput& input = step.input;
  StepResult& result = step.result;
  slots().fill_tokens(input);
  const auto batch = static_cast<int64_t>(input.sequences.size()), segments = static_cast<int64_t>(input.segment_status.size());
  context_.adapters = std::move(input.resolved);
  context_.step = &step;

  const int32_t views = 2 * layers_;
  std::vector<int32_t> block_table(input.block_table.size()), slot_mapping(input.slot_mapping.size()), logits_starts(segments + 1), entry(context_.adapters.size());
  for (size_t i = 0; i < block_table.size(); i++) block_table[i] = input.block_table[i] * views;
  for (size_t i = 0; i < slot_mapping.size(); i++)
    slot_mapping[i] = input.slot_mapping[i] / block_size_ * views * block_size_ + input.slot_mapping[i] % block_size_;
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
  std::vector<int32_t> table_ids;
  if (context_.added_tokens > 0) {
    for (const int32_t id : input.input_ids) table_ids.push_back(id < context_.vocab_size ? id : 0);  // what is read for others is replaced
    ints("table_ids", table_ids, row(table_ids));
  }
  ints("cumulative_sequence_length", input.cumulative, row(input.cumulative));
  ints("past_seqlens", input.past, row(input.past));
  ints("block_table", block_table, {batch, input.columns()});
  ints("slot_mapping", slot_mapping, row(slot_mapping));
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
  // What is summed and sampled lies in `result` by then.
  const char* output_names[] = {"summed", "tokens"};
  OrtValue* outputs[] = {nullptr, nullptr};
  OrtStatus* status = ort().Run(session_.get(), nullptr, names.data(), values.data(), values.size(), output_names, headless_ ? 1 : 2, outputs);
  context_.adapters.clear();
  check(status);
  for (OrtValue* output : outputs) ort().ReleaseValue(output);
  result.run_ms = ms_since(started) - result.sample_ms;
}

}  // namespace lorikeet
