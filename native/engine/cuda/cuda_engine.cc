#include "cuda_engine.h"
#include <algorithm>
#include <cstring>
#include "../../ops/cuda/adapter_ops.h"
#include "cache_type.h"

namespace lorikeet::cuda {
namespace {

// Larger decode steps are bound by arithmetic and bytes, not by launches.
constexpr int32_t kCapturedRows = 256;
// Capturing takes as long as some tens of steps: a shape that came by chance is not worth it. A counted shape is some hundred bytes of the host.
constexpr GraphLimits kGraphs{.graphs = 512, .counted = 4096, .runs = 2, .total = 4096};
constexpr int32_t kLeastBlocks = 4;
// Adapters up to this rank find their scratch ready when the pool is sized.
constexpr int32_t kCommonRank = 64;

// A row that asks for everything, of logits that nobody reads.
SampleRow demanding() {
  constexpr int32_t kTopLogprobs = 20;  // the most that OpenAI's clients ask for
  static const int32_t token = 0;
  static const float bias = 1;
  SamplingRow row;
  row.temperature = 1;
  row.top_p = 0.5f;
  row.logprobs = kTopLogprobs;
  row.bias_tokens = &token;
  row.bias_values = &bias;
  row.bias_count = 1;
  SampleRow asks = sample_row(row, {}, kMaxSampleVocab);
  asks.vocab = 0;  // padding: the lists are the host's
  return asks;
}

// What `work` throws, with what it was for.
void within(const std::string& what, const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& e) {
    throw std::runtime_error(what + ": " + e.what());
  }
}

}  // namespace

CudaEngine::CudaEngine(EngineOptions options, const std::function<void(float)>& progress)
    : options_(std::move(options)), graphs_(kGraphs, [this](int32_t graph) {
        device::synchronize(compute_.get());  // it may be replayed just now
        session_->release_graph(graph);
      }) {
  std::string missing;
  if (!device::available(missing)) throw std::runtime_error("no CUDA device: " + missing);
  device_ = device::info();
  limits_ = {options_.block_size, options_.site_count, options_.head_site, options_.added_head_site, options_.capture_graphs ? kCapturedRows : 0};
  context_.dtype = options_.dtype;
  context_.vocab_size = options_.vocab_size;
  context_.sites = SiteBits(options_.site_count);
  within("the model does not load (" + std::to_string(device_.free) + " of " + std::to_string(device_.total) + " bytes on " + device_.name + " were free)",
         [&] { session_ = make_session(options_, context_, compute_.get(), progress); });
  options_.model = {};
  within("the tokens of --max-sequences sequences of up to --max-model-len",
         [&] { device_slots_ = std::make_unique<DeviceSlots>(options_.max_sequences, options_.max_model_len, options_.block_size, options_.columns()); });
  make_pool();
  open_slots(options_);
}

CudaEngine::~CudaEngine() {
  // On this thread, which is the one that ran it: what ONNX Runtime keeps per thread goes with the session.
  session_.reset();
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
  input.past.assign(sequences, 0);
  // One token for each, and what remains for the first ones: as long as a sequence may be. The same with rows of logits: the last of each, and more of the first.
  int32_t longest = 0, rest = tokens - sequences, scored = std::min(tokens, options_.max_logits_rows) - sequences;
  input.cumulative = {0};
  for (int32_t b = 0; b < sequences; b++) {
    const int32_t count = 1 + std::min(rest, options_.max_model_len - 1);
    rest -= count - 1;
    longest = std::max(longest, count);
    input.summed.push_back({input.cumulative.back(), count});
    input.cumulative.push_back(input.cumulative.back() + count);
    const int32_t more = std::clamp(scored, 0, count - 1);
    scored -= more;
    for (int32_t r = more; r >= 0; r--) input.logits_indices.push_back(input.cumulative.back() - 1 - r);
  }
  input.block_table.assign(int64_t{sequences} * ((longest + options_.block_size - 1) / options_.block_size), 0);
  input.segment_starts = {0, tokens};
  input.segment_entries = {0, 0};
  input.segment_status = {0};
  const std::vector<SampleRow> rows(input.logits_indices.size(), demanding());
  const Work work{input, rows, sample_features(rows.data(), rows.size(), options_.columns()), {}, {}, {}};
  StepShape shape = shape_of(input, work.features, limits_);
  shape.adapters.h_rows = tokens * kCommonRank / kRankBlock;
  StepResult ignored;
  int32_t no_graph = 0;
  within("the largest step that --max-batch-tokens and --max-sequences allow does not run beside the weights",
         [&] {
           queue(work, shape, flights_[0], ignored, no_graph);
           device::synchronize(compute_.get());
           flights_[1].sampled = flights_[0].sampled;
           fit(work, shape, InputLayout(shape), flights_[1]);
         });
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

void CudaEngine::admit(SlotInput input) {
  const int32_t slot = input.slot;
  Engine::admit(std::move(input));
  try {
    device_slots_->admit(slots().at(slot));
  } catch (const std::exception& e) {
    release(slot);
    if (device_slots_->lost()) throw DeviceLost(e.what());
    throw;
  }
}

void CudaEngine::release(int32_t slot) {
  Engine::release(slot);
  device_slots_->release(slot);
}

CudaEngine::Work CudaEngine::work_of(const StepInput& input) const {
  Work work{input, {}, {}, {}, {}, {}};
  for (const LogitsRow& row : input.rows)
    work.rows.push_back(device_slots_->row(slots().at(input.sequences[row.sequence].slot), slots().asks(input, row), row.position + 1, row.scores));
  if (!input.masks.empty()) mask_rows(work);
  work.features = sample_features(work.rows.data(), work.rows.size(), options_.columns());
  return work;
}

// A row that is withheld has a mask of nothing: the device samples no token of it, and `finish` says why.
void CudaEngine::mask_rows(Work& work) const {
  work.mask_of.assign(work.rows.size(), -1);
  work.withheld.assign(work.rows.size(), 0);
  std::vector<uint32_t> mask;
  const auto words = static_cast<size_t>((options_.columns() + 31) / 32);
  for (size_t r = 0; r < work.rows.size(); r++) {
    const LogitsRow& row = work.input.rows[r];
    work.withheld[r] = slots().masked(work.input, row, slots().asks(work.input, row), mask);
    if (work.withheld[r]) mask.assign(words, 0);
    if (mask.empty()) continue;
    work.mask_of[r] = static_cast<int32_t>(work.masks.size());
    work.rows[r].allowed = mask.data();  // that it has one; where it lies is known when the buffers are
    work.masks.insert(work.masks.end(), mask.begin(), mask.end());
  }
}

void CudaEngine::launch(Step& step) {
  const StepInput& input = step.input;
  const Work work = work_of(input);
  const StepShape shape = shape_of(input, work.features, limits_);
  Flight& flight = flights_[launched_ % flights_.size()];
  int32_t graph = 0;
  const auto attempt = [&](const StepShape& shape) {
    try {
      residents_->hold(compute_.get(), input.resolved);
      device_slots_->hold(compute_.get());
      queue(work, shape, flight, step.result, graph);
    } catch (const std::exception& e) {
      // Whatever of it was queued is over after this, and so is the step before it.
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
    attempt(shape_of(input, work.features, plain));
    step.result.warning = std::string("decode steps cannot be captured as CUDA graphs and run without from now on: ") + e.what();
    limits_ = plain;
    graphs_.clear();
  }
  launched_++;
}

void CudaEngine::finish(Step& step) {
  device::allow_captures_elsewhere();
  const Flight& flight = flights_[finished_++ % flights_.size()];
  try {
    flight.done.wait();
  } catch (const std::exception& e) {
    throw DeviceLost(e.what());  // what a stream meets after a launch was taken is not of that launch alone
  }
  fetch(step.input, flight, step.result);
  for (size_t r = 0; r < flight.withheld.size(); r++)
    if (flight.withheld[r]) step.result.row_status[r] = flight.withheld[r];
  slots().sampled(step.input, step.result);
}

void CudaEngine::queue(const Work& work, const StepShape& shape, Flight& flight, StepResult& result, int32_t& graph) {
  const StepInput& input = work.input;
  const InputLayout at(shape);
  context_.sample_shape = flight.sampled = {shape.logits, options_.columns(), options_.dtype, shape.sample};
  fit(work, shape, at, flight);
  flight.withheld = work.withheld;
  std::vector<SampleRow> rows = work.rows;
  for (size_t r = 0; r < work.mask_of.size(); r++)
    if (work.mask_of[r] >= 0) rows[r].allowed = items<uint32_t>(inputs_.data(), at.masks(input)) + work.mask_of[r];
  write_inputs(input, rows, shape, at, flight.staging.data() - at.uploaded);
  if (!work.masks.empty()) std::memcpy(flight.staging.data() + at.masks(input) - at.uploaded, work.masks.data(), sizeof(uint32_t) * work.masks.size());
  plan(input, shape, at, flight);
  flight.begun.record(compute_.get());
  device::copy_to_device(inputs_.data() + at.uploaded, flight.staging.data(), at.end(input, work.masks) - at.uploaded, compute_.get());
  make_inputs(input, shape, at);

  context_.sites = shape.sites;
  context_.sample.rows = items<SampleRow>(inputs_.data(), at.samples);
  context_.sample.scratch = sample_scratch_.data();
  context_.sample.results = results_.data();
  context_.sample.logits_out = input.return_logits ? reinterpret_cast<float*>(raw_logits_.data()) : nullptr;
  context_.sums = {};
  if (!input.summed.empty()) {
    context_.sums.ranges = reinterpret_cast<const RowRange*>(inputs_.data() + at.summed(input));
    context_.sums.range_count = static_cast<int32_t>(input.summed.size());
    context_.sums.sums = reinterpret_cast<double*>(sums_.data());
    context_.sums.scales = reinterpret_cast<float*>(sums_.data() + sums_bytes(input));
    context_.sums.rows = shape.tokens;
    context_.sums.width = options_.hidden_size;
    context_.sums.dtype = options_.dtype;
  }
  graph = shape.captured ? graphs_.graph_of(shape) : 0;
  run(shape, at, graph);
  device::copy_to_host(flight.fetched.data(), results_.data(), sample_results(flight.sampled).bytes, compute_.get());
  if (const size_t bytes = sums_bytes(input)) device::copy_to_host(flight.sums.data(), sums_.data(), bytes, compute_.get());
  if (input.return_logits) {
    // Not into pinned memory, so that this waits for the step: only tests and tools ask.
    result.logits.resize(input.logits_indices.size() * options_.columns());
    device::copy_to_host(result.logits.data(), raw_logits_.data(), sizeof(float) * result.logits.size(), compute_.get());
  }
  flight.done.record(compute_.get());
}

// Makes room. The steps in flight use the device's buffers, so one that grows waits for them; it takes the graphs with it that were captured on its address.
void CudaEngine::fit(const Work& work, const StepShape& shape, const InputLayout& at, Flight& flight) {
  const StepInput& input = work.input;
  auto grow = [&](device::Buffer& buffer, device::Memory kind, size_t bytes) {
    if (buffer.bytes() >= bytes) return;
    if (kind == device::Memory::device) {
      device::synchronize(compute_.get());
      graphs_.clear();
    }
    buffer = {};
    buffer = device::Buffer(kind, std::max(bytes + bytes / 2, size_t{1} << 20));
  };
  const size_t result_bytes = sample_results(flight.sampled).bytes;
  grow(flight.staging, device::Memory::pinned, at.end(input, work.masks) - at.uploaded);
  grow(flight.fetched, device::Memory::pinned, result_bytes);
  grow(inputs_, device::Memory::device, at.end(input, work.masks));
  grow(results_, device::Memory::device, result_bytes);
  grow(summed_, device::Memory::device, sizeof(int32_t));
  if (const size_t bytes = sums_bytes(input)) {
    grow(sums_, device::Memory::device, bytes + sizeof(float) * shape.tokens);
    grow(flight.sums, device::Memory::pinned, bytes);
  }
  grow(tokens_, device::Memory::device, sizeof(int32_t) * shape.logits);
  grow(sample_scratch_, device::Memory::device, sample_scratch_bytes(flight.sampled));
  if (input.return_logits) grow(raw_logits_, device::Memory::device, sizeof(float) * shape.logits * options_.columns());
  const int32_t h_rows = std::max(shape.adapters.h_rows, shape.head.h_rows);
  if (h_rows) grow(lora_scratch_, device::Memory::device, lora_scratch_bytes(options_.max_site_inputs, kMaxProducts, h_rows));
  context_.h = reinterpret_cast<float*>(lora_scratch_.data());
  context_.h_rows = h_rows;
}

void CudaEngine::make_inputs(const StepInput& input, const StepShape& shape, const InputLayout& at) {
  StepInputs inputs = inputs_at(shape, at, device_slots_->state(), inputs_.data());
  inputs.block_size = options_.block_size;
  inputs.views = 2 * options_.layers;  // a pool block is so many of the cache views of docs/graph.md
  must_launch(change_slots(input, at, inputs.state, inputs_.data(), compute_.get()), "block tables and drafts");
  must_launch(fill_step_inputs(inputs, compute_.get()), "the step's inputs");
}

void CudaEngine::plan(const StepInput& input, const StepShape& shape, const InputLayout& at, Flight& flight) {
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
    LoraPlan plan(wanted.capacity());
    if (!plan.build(entries.over(input, starts), wanted.wide)) throw std::logic_error("the step's segments do not fit their own plan");
    std::memcpy(flight.staging.data() + offset - at.uploaded, plan.data(), plan.bytes());
    rows.step.plan = plan.view(inputs_.data() + offset);
    rows.launch.counts = shape.captured ? wanted.bounds() : plan.counts();
    return rows;
  };
  context_.tokens = planned(shape.adapters, input.segment_starts, at.adapters);
  // The logits rows are the tokens, or the head has no adapter and nobody asks.
  context_.logits = shape.head.tiles ? planned(shape.head, logits_starts(input), at.head) : context_.tokens;
}

void CudaEngine::run(const StepShape& shape, const InputLayout& at, int32_t graph) {
  std::vector<const char*> names;
  std::vector<const OrtValue*> values;
  std::vector<ValuePtr> owned;
  auto feed = [&](const char* name, void* data, std::vector<int64_t> dims, bool on_host = false) {
    size_t bytes = sizeof(int32_t);
    for (int64_t d : dims) bytes *= d;
    names.push_back(name);
    values.push_back(owned.emplace_back(session_->tensor(data, bytes, dims, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, on_host)).get());
  };
  uint8_t* const base = inputs_.data();
  int32_t metadata[] = {shape.max_query, shape.max_kv};
  feed("input_ids", base + at.input_ids, {shape.tokens});
  feed("cumulative_sequence_length", base + at.cumulative, {shape.sequences + 1});
  feed("past_seqlens", base + at.past, {shape.sequences});
  feed("block_table", base + at.block_table, {shape.sequences, shape.columns});
  feed("slot_mapping", base + at.slot_mapping, {shape.tokens});
  feed("logits_indices", base + at.logits_indices, {shape.logits});
  feed("attention_metadata", metadata, {2}, true);
  for (size_t i = 0; i < cache_.size(); i++) {
    names.push_back(cache_names_[i].c_str());
    values.push_back(cache_[i].get());
  }
  const ValuePtr tokens = session_->tensor(tokens_.data(), sizeof(int32_t) * shape.logits, {shape.logits}, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32);
  const ValuePtr summed = session_->tensor(summed_.data(), sizeof(int32_t), {1}, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32);
  session_->run(names, values, summed.get(), options_.headless ? nullptr : tokens.get(), graph);
}

void CudaEngine::fetch(const StepInput& input, const Flight& flight, StepResult& result) const {
  const SampleResults at = sample_results(flight.sampled);
  const size_t rows = input.rows.size(), top = flight.sampled.features.top;
  const uint8_t* const base = flight.fetched.data();
  const auto* const times = reinterpret_cast<const uint64_t*>(base + at.times);
  result.sample_ms = static_cast<double>(times[1] - times[0]) * 1e-6;
  result.run_ms = flight.done.ms_since(flight.begun) - result.sample_ms;
  if (const size_t bytes = sums_bytes(input)) {
    result.sums.resize(bytes / sizeof(double));
    std::memcpy(result.sums.data(), flight.sums.data(), bytes);
  }
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
