#include "cuda_engine.h"
#include <algorithm>
#include <chrono>
#include <cstring>

namespace lorikeet::cuda {
namespace {

// Larger decode steps are bound by arithmetic and bytes, not by launches.
constexpr int32_t kCapturedRows = 256;
// Capturing takes as long as some tens of steps: a shape that came by chance is not worth it. A counted shape is some hundred bytes of the host.
constexpr GraphLimits kGraphs{.graphs = 512, .counted = 4096, .runs = 2, .total = 4096};
constexpr int32_t kLeastBlocks = 4;
// Adapters up to this rank find their scratch ready when the pool is sized.
constexpr int32_t kCommonRank = 64;

// Sampling parameters that ask for everything, of rows that nobody reads.
SamplingInput demanding(int32_t rows) {
  constexpr int32_t kTopLogprobs = 20;  // the most that OpenAI's clients ask for
  SamplingInput in;
  for (auto* zeros : {&in.min_p, &in.presence, &in.frequency}) zeros->assign(rows, 0);
  for (auto* ones : {&in.temperature, &in.repetition}) ones->assign(rows, 1);
  in.top_p.assign(rows, 0.5f);
  for (auto* zeros : {&in.top_k, &in.position, &in.history_prompt}) zeros->assign(rows, 0);
  for (auto* starts : {&in.history_starts, &in.allowed_starts}) starts->assign(rows + 1, 0);
  for (int32_t r = 0; r <= rows; r++) in.bias_starts.push_back(r);
  in.bias_tokens.assign(rows, 0);
  in.bias_values.assign(rows, 1);
  in.logprobs.assign(rows, kTopLogprobs);
  in.target.assign(rows, -1);
  in.seed.assign(rows, 0);
  return in;
}

// What `work` throws, with what it was for.
void within(const std::string& what, const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& e) {
    throw std::runtime_error(what + ": " + e.what());
  }
}

size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

ONNXTensorElementDataType cache_type(CacheType type) {
  switch (type) {
    case CacheType::f16: return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    case CacheType::bf16: return ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
    case CacheType::i8: return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
    case CacheType::f8: return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FN;
    case CacheType::f32: break;
  }
  throw std::invalid_argument("the KV cache on CUDA is float16, bfloat16, int8 or float8");
}

}  // namespace

UploadLayout::UploadLayout(const StepShape& shape) {
  size_t end = 0;
  auto place = [&](size_t& at, size_t bytes) {
    at = end;
    end += aligned(bytes);
  };
  place(input_ids, sizeof(int32_t) * shape.tokens);
  place(cumulative, sizeof(int32_t) * (shape.sequences + 1));
  place(past, sizeof(int32_t) * shape.sequences);
  place(block_table, sizeof(int32_t) * shape.sequences * shape.columns);
  place(slots, sizeof(int32_t) * shape.tokens);
  place(logits_indices, sizeof(int32_t) * shape.logits);
  place(adapters, shape.adapters.tiles ? Plan(shape.adapters.capacity()).bytes() : 0);
  place(head, shape.head.tiles ? Plan(shape.head.capacity()).bytes() : 0);
  place(samples, sizeof(SampleRow) * shape.logits);
  lists = end;
}

CudaEngine::CudaEngine(EngineOptions options, const std::function<void(float)>& progress)
    : options_(std::move(options)), graphs_(kGraphs, [this](int32_t graph) { session_->release_graph(graph); }) {
  std::string missing;
  if (!device::available(missing)) throw std::runtime_error("no CUDA device: " + missing);
  device_ = device::info();
  limits_ = {options_.block_size, options_.site_count, options_.head_site, options_.vocab_size, options_.capture_graphs ? kCapturedRows : 0};
  context_.dtype = options_.dtype;
  context_.vocab_size = options_.vocab_size;
  context_.sites = SiteBits(options_.site_count);
  context_.sample_begin = &sample_begin_;
  context_.sample_end = &sample_end_;
  thread_.run([&] {
    within("the model does not load (" + std::to_string(device_.free) + " of " + std::to_string(device_.total) + " bytes on " + device_.name + " were free)",
           [&] { session_ = make_session(options_, context_, compute_.get(), progress); });
    make_pool();
  });
  options_.model = {};
}

CudaEngine::~CudaEngine() {
  // On its own thread: what ONNX Runtime keeps per thread goes with the session.
  thread_.run([&] {
    session_.reset();
    residents_.reset();
  });
}

void CudaEngine::bind_cache(uint8_t* pool, int64_t blocks) {
  cache_.clear();
  cache_names_.clear();
  const int64_t views = blocks * 2 * options_.layers, view_bytes = options_.view_bytes();
  for (int64_t shift = 0; shift < 2 * options_.layers; shift++) {
    // From a layer's values the pool's end is this much nearer, and its keys must be as many; block_table never reaches past it, since the last block
    // begins 2L views before the pool's end.
    const int64_t count = views - (shift | 1);
    cache_.push_back(session_->tensor(pool + shift * view_bytes, count * view_bytes, {count, options_.block_size, options_.kv_heads, options_.head_dim},
                                      cache_type(options_.cache)));
    cache_names_.push_back((shift % 2 ? "value_cache." : "key_cache.") + std::to_string(shift / 2));
  }
}

// Runs the largest step that may come on a pool of its own, so that ONNX Runtime and our buffers have what they will need; the rest, within the fraction, is
// the pool's.
int64_t CudaEngine::blocks_that_fit() {
  const int32_t sequences = std::min(options_.max_sequences, options_.max_batch_tokens);
  const auto tokens = static_cast<int32_t>(std::min<int64_t>(options_.max_batch_tokens, int64_t{sequences} * options_.max_model_len));
  pool_ = device::Buffer(device::Memory::device, options_.block_bytes());
  bind_cache(pool_.data(), 1);
  StepInput input;
  input.input_ids.assign(tokens, 0);
  input.slots.assign(tokens, -1);
  input.past.assign(sequences, 0);
  // One token for each, and what remains for the first ones: as long as a sequence may be.
  int32_t longest = 0, rest = tokens - sequences;
  input.cumulative = {0};
  for (int32_t b = 0; b < sequences; b++) {
    const int32_t count = 1 + std::min(rest, options_.max_model_len - 1);
    rest -= count - 1;
    longest = std::max(longest, count);
    input.cumulative.push_back(input.cumulative.back() + count);
    input.logits_indices.push_back(input.cumulative.back() - 1);
  }
  input.block_table.assign(int64_t{sequences} * ((longest + options_.block_size - 1) / options_.block_size), 0);
  input.segment_starts = {0, tokens};
  input.segment_entries = {0, 0};
  input.segment_status = {0};
  input.sampling = demanding(sequences);
  StepShape shape = shape_of(input, limits_);
  shape.adapters.h_rows = tokens * kCommonRank / kRankBlock;
  StepResult ignored;
  int32_t no_graph = 0;
  within("the largest step that --max-batch-tokens and --max-sequences allow does not run beside the weights",
         [&] { run_shape(input, shape, ignored, no_graph); });
  cache_.clear();
  pool_ = {};
  const device::Info now = device::info();
  const double allowed = options_.memory_fraction * static_cast<double>(now.total) - static_cast<double>(now.total - now.free);
  const int64_t blocks = std::min<int64_t>(static_cast<int64_t>(allowed) / options_.block_bytes(), options_.max_block_count);
  if (blocks < kLeastBlocks)
    throw std::runtime_error("the device has " + std::to_string(now.total) + " bytes, " + std::to_string(now.total - now.free) +
                             " of them taken by weights, workspace and others: within --gpu-memory-utilization no pool of " + std::to_string(kLeastBlocks) +
                             " blocks of " + std::to_string(options_.block_bytes()) + " bytes remains");
  return blocks;
}

void CudaEngine::make_pool() {
  block_count_ = options_.block_count ? options_.block_count : blocks_that_fit();
  within("a pool of " + std::to_string(block_count_) + " blocks",
         [&] { pool_ = device::Buffer(device::Memory::device, block_count_ * options_.block_bytes()); });
  bind_cache(pool_.data(), block_count_);
  residents_ = std::make_unique<DeviceResidents>(pool_.data(), options_.image_limits(block_count_));
}

StepResult CudaEngine::run(StepInput& input) {
  StepResult result;
  thread_.run([&] { result = step(input); });
  return result;
}

StepResult CudaEngine::step(StepInput& input) {
  const auto started = std::chrono::steady_clock::now();
  StepResult result;
  const StepShape shape = shape_of(input, limits_);
  int32_t graph = 0;
  const auto attempt = [&](const StepShape& shape) {
    try {
      residents_->hold(compute_.get(), input.resolved);
      run_shape(input, shape, result, graph);
    } catch (const std::exception& e) {
      if (device::abandon_capture(compute_.get())) throw DeviceLost(e.what());
      throw;
    }
  };
  try {
    attempt(shape);
  } catch (const DeviceLost&) {
    throw;
  } catch (const std::exception& e) {
    if (!graph) throw;
    // Nothing of the step has been lost: it writes the same slots again. If it runs kernel by kernel, the graph was at fault, and there will be no other.
    graphs_.forget(shape);
    ShapeLimits plain = limits_;
    plain.captured_rows = 0;
    attempt(shape_of(input, plain));
    result.warning = std::string("decode steps cannot be captured as CUDA graphs and run without from now on: ") + e.what();
    limits_ = plain;
    graphs_.clear();
  }
  result.segment_status = std::move(input.segment_status);
  result.sample_ms = sample_end_.ms_since(sample_begin_);
  result.run_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count() - result.sample_ms;
  return result;
}

void CudaEngine::run_shape(const StepInput& input, const StepShape& shape, StepResult& result, int32_t& graph) {
  const UploadLayout at(shape);
  const SamplingView sampling = view_of(input.sampling);
  context_.sample_shape = {shape.logits, options_.vocab_size, options_.dtype, shape.sample};
  const size_t bytes = at.lists + sample_list_bytes(sampling);
  fit(shape, bytes, input.return_logits);
  fill(input, shape, at);
  plan(input, shape, at);
  pack_sample_rows(sampling, options_.vocab_size, shape.logits, staging_.data(), at.samples, at.lists);
  device::copy_to_device(upload_.data(), staging_.data(), bytes, compute_.get());

  context_.sites = shape.sites;
  context_.sample.upload = upload_.data();
  context_.sample.rows = reinterpret_cast<const SampleRow*>(upload_.data() + at.samples);
  context_.sample.scratch = sample_scratch_.data();
  context_.sample.results = results_.data();
  context_.sample.logits_out = input.return_logits ? reinterpret_cast<float*>(raw_logits_.data()) : nullptr;
  graph = shape.captured ? graphs_.graph_of(shape) : 0;
  launch(shape, at, graph);
  device::copy_to_host(fetched_.data(), results_.data(), sample_results(context_.sample_shape).bytes, compute_.get());
  if (input.return_logits) {
    result.logits.resize(input.logits_indices.size() * options_.vocab_size);
    device::copy_to_host(result.logits.data(), raw_logits_.data(), sizeof(float) * result.logits.size(), compute_.get());
  }
  done_.record(compute_.get());
  done_.wait();
  fetch(input, result);
}

// Makes room. A buffer that moves takes the graphs with it that were captured on its address.
void CudaEngine::fit(const StepShape& shape, size_t upload_bytes, bool with_logits) {
  auto grow = [&](device::Buffer& buffer, device::Memory kind, size_t bytes) {
    if (buffer.bytes() >= bytes) return;
    graphs_.clear();
    buffer = {};
    buffer = device::Buffer(kind, std::max(bytes + bytes / 2, size_t{1} << 20));
  };
  const size_t result_bytes = sample_results(context_.sample_shape).bytes;
  grow(staging_, device::Memory::pinned, upload_bytes);
  grow(upload_, device::Memory::device, upload_bytes);
  grow(fetched_, device::Memory::pinned, result_bytes);
  grow(results_, device::Memory::device, result_bytes);
  grow(tokens_, device::Memory::device, sizeof(int32_t) * shape.logits);
  grow(sample_scratch_, device::Memory::device, sample_scratch_bytes(context_.sample_shape));
  if (with_logits) grow(raw_logits_, device::Memory::device, sizeof(float) * shape.logits * options_.vocab_size);
  const int32_t h_rows = std::max(shape.adapters.h_rows, shape.head.h_rows);
  if (h_rows) grow(lora_scratch_, device::Memory::device, lora_scratch_bytes(options_.max_site_inputs, kMaxProducts, h_rows));
  context_.h = reinterpret_cast<float*>(lora_scratch_.data());
  context_.h_rows = h_rows;
}

void CudaEngine::fill(const StepInput& input, const StepShape& shape, const UploadLayout& at) {
  auto ints = [&](size_t offset) { return reinterpret_cast<int32_t*>(staging_.data() + offset); };
  auto padded = [](int32_t* to, const std::vector<int32_t>& from, size_t count, int32_t filler) {
    std::copy(from.begin(), from.end(), to);
    std::fill(to + from.size(), to + count, filler);
  };
  // A row that only pads a bucket is a sequence of one token that writes nothing and sees the first block.
  padded(ints(at.input_ids), input.input_ids, shape.tokens, 0);
  padded(ints(at.past), input.past, shape.sequences, 0);
  padded(ints(at.logits_indices), input.logits_indices, shape.logits, 0);
  int32_t* const cumulative = ints(at.cumulative);
  std::copy(input.cumulative.begin(), input.cumulative.end(), cumulative);
  for (int32_t b = static_cast<int32_t>(input.past.size()); b < shape.sequences; b++) cumulative[b + 1] = cumulative[b] + 1;
  for (int32_t r = static_cast<int32_t>(input.logits_indices.size()); shape.captured && r < shape.logits; r++) ints(at.logits_indices)[r] = r;

  // Pool blocks and slots become the cache views of docs/graph.md.
  const int32_t views = 2 * options_.layers, block_size = options_.block_size;
  const size_t columns = input.past.empty() ? 0 : input.block_table.size() / input.past.size();
  int32_t* const table = ints(at.block_table);
  std::fill(table, table + static_cast<size_t>(shape.sequences) * shape.columns, 0);
  for (size_t b = 0; b < input.past.size(); b++)
    for (size_t c = 0; c < columns; c++) table[b * shape.columns + c] = input.block_table[b * columns + c] * views;
  int32_t* const slots = ints(at.slots);
  for (size_t t = 0; t < input.slots.size(); t++)
    slots[t] = input.slots[t] < 0 ? -1 : input.slots[t] / block_size * views * block_size + input.slots[t] % block_size;
  std::fill(slots + input.slots.size(), slots + shape.tokens, -1);
}

void CudaEngine::plan(const StepInput& input, const StepShape& shape, const UploadLayout& at) {
  const PlanEntries entries(input);
  auto planned = [&](const PlanShape& wanted, const std::vector<int32_t>& starts, size_t offset) {
    AdapterRows rows;
    rows.step.pool = pool_.data();
    rows.step.ranks_at = rank_rows_at(options_.site_count);
    rows.step.dtype = options_.dtype;
    rows.launch.multiprocessors = device_.multiprocessors;
    rows.launch.stream = compute_.get();
    rows.launch.overlap = options_.overlap_launches && device_.major >= 9;
    if (!wanted.tiles) return rows;
    Plan plan(wanted.capacity());
    if (!plan.build(entries.over(input, starts), wanted.wide)) throw std::logic_error("the step's segments do not fit their own plan");
    std::memcpy(staging_.data() + offset, plan.data(), plan.bytes());
    rows.step.plan = plan.view(upload_.data() + offset);
    rows.launch.counts = shape.captured ? wanted.bounds() : plan.counts();
    return rows;
  };
  context_.tokens = planned(shape.adapters, input.segment_starts, at.adapters);
  // The logits rows are the tokens, or the head has no adapter and nobody asks.
  context_.logits = shape.head.tiles ? planned(shape.head, logits_starts(input), at.head) : context_.tokens;
}

void CudaEngine::launch(const StepShape& shape, const UploadLayout& at, int32_t graph) {
  std::vector<const char*> names;
  std::vector<const OrtValue*> values;
  std::vector<ValuePtr> owned;
  auto feed = [&](const char* name, void* data, std::vector<int64_t> dims, bool on_host = false) {
    size_t bytes = sizeof(int32_t);
    for (int64_t d : dims) bytes *= d;
    names.push_back(name);
    values.push_back(owned.emplace_back(session_->tensor(data, bytes, dims, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, on_host)).get());
  };
  uint8_t* const base = upload_.data();
  int32_t metadata[] = {shape.max_query, shape.max_kv};
  feed("input_ids", base + at.input_ids, {shape.tokens});
  feed("cumulative_sequence_length", base + at.cumulative, {shape.sequences + 1});
  feed("past_seqlens", base + at.past, {shape.sequences});
  feed("block_table", base + at.block_table, {shape.sequences, shape.columns});
  feed("slot_mapping", base + at.slots, {shape.tokens});
  feed("logits_indices", base + at.logits_indices, {shape.logits});
  feed("attention_metadata", metadata, {2}, true);
  for (size_t i = 0; i < cache_.size(); i++) {
    names.push_back(cache_names_[i].c_str());
    values.push_back(cache_[i].get());
  }
  const ValuePtr tokens = session_->tensor(tokens_.data(), sizeof(int32_t) * shape.logits, {shape.logits}, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32);
  session_->run(names, values, tokens.get(), graph);
}

void CudaEngine::fetch(const StepInput& input, StepResult& result) const {
  const SampleResults at = sample_results(context_.sample_shape);
  const size_t rows = input.logits_indices.size(), top = context_.sample_shape.features.top;
  const uint8_t* const base = fetched_.data();
  auto ints = [&](size_t offset) { return reinterpret_cast<const int32_t*>(base + offset); };
  auto floats = [&](size_t offset) { return reinterpret_cast<const float*>(base + offset); };
  result.tokens.assign(ints(at.tokens), ints(at.tokens) + rows);
  result.rank.assign(ints(at.ranks), ints(at.ranks) + rows);
  result.logprob.assign(floats(at.logprobs), floats(at.logprobs) + rows);
  result.row_status.assign(ints(at.statuses), ints(at.statuses) + rows);
  result.top_starts.assign(1, 0);
  for (size_t r = 0; r < rows; r++) {
    const auto count = top ? ints(at.top_counts)[r] : 0;
    const int32_t* const tokens = ints(at.top_tokens) + r * top;
    const float* const logprobs = floats(at.top_logprobs) + r * top;
    result.top_tokens.insert(result.top_tokens.end(), tokens, tokens + count);
    result.top_logprobs.insert(result.top_logprobs.end(), logprobs, logprobs + count);
    result.top_starts.push_back(static_cast<int32_t>(result.top_tokens.size()));
  }
}

}  // namespace lorikeet::cuda
